"""Stability: how far a method's maps move when the image moves a little."""
