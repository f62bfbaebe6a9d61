"""The levels of all statistics."""

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # of tests: after Holm's correction, and of each of the two one-sided tests of equivalence
