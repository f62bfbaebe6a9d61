"""The levels of all statistics."""

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # of tests: after Holm's correction, and of each one-sided test of equivalence or non-inferiority
FEW_SEEDS = 5  # fewer trainings than this support no claim about a way of training
