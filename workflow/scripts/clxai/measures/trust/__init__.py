"""Trust measures: how far the test itself, pixel flipping of one model and head, can be believed."""
