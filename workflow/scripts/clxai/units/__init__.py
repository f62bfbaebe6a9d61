"""What is removed at once."""
