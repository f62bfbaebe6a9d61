"""Metrics of recorded curves: each a pure function, so that a new one costs no forward pass."""
