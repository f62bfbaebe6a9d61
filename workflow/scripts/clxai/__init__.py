"""CLXAI: is pixel flipping a trustworthy test of explanations for contrastively trained networks?

The modules follow the data: datasets, models, losses, augmentation, training, embeddings, heads, attribution, perturbation,
flipping, metrics, statistics, summaries, checks, plots. `docs/architecture.md` draws the house.
"""

__version__ = "0.1.0"
