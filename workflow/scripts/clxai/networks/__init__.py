"""Networks from images to embeddings, for training and for inference, and what is read off embeddings."""
