"""How an image is cut into units that are removed as a whole: an open family."""
