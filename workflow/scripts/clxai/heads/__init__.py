"""Class scores from embeddings, one module per kind of head, and their fitting."""
