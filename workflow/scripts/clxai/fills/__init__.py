"""What replaces removed pixels: an open family."""
