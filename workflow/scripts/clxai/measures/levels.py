"""The levels of all statistics, and the words for families of tests."""

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # of tests: after Holm's correction, and of each one-sided test of equivalence or non-inferiority
FEW_SEEDS = 5  # fewer trainings than this support no claim about a way of training
CONFIRMATORY, EXPLORATORY = "confirmatory", "exploratory"  # declared before the study ran; looked at besides
