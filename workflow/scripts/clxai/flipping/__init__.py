"""The flipping engine and what it records."""
