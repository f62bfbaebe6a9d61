"""Training of one recipe with one seed."""
