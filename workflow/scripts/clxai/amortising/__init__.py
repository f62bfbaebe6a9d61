"""Explainers: small networks that are trained on mask banks and then explain every head of a model in one forward pass."""
