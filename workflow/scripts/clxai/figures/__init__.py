"""Figures from tables and arrays, and their look."""
