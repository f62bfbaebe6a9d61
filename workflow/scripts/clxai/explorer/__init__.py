"""A page to look around in: one study on one data set, opened from disk."""
