"""CLXAI: is pixel flipping a trustworthy test of explanations for contrastively trained networks?

The modules follow the data: datasets, models, losses, augmentation, training, embeddings, heads, attribution, perturbation,
flipping, metrics, statistics, summaries, checks, plots. `docs/architecture.md` draws the house.
"""

import gc

# Importing torch makes objects by the hundred thousand that all stay: collecting less often starts a job a sixth sooner.
gc.set_threshold(50_000, 20, 20)

__version__ = "0.1.0"
