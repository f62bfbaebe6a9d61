"""The labels that a network is trained on: the given ones, or the same exchanged among the images, to be learnt by heart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from clxai.keys import key_of


def labels_of(labels: Int[ndarray, " image"], recipe: Mapping[str, Any], seed: int) -> Int[ndarray, " image"]:
    """Return the labels that a recipe trains on: these, or by `labels: permuted` a permutation of them drawn from the seed.

    The numbers of images of each class stay; what an image shows says nothing of its label [Adebayo et al. 2018, section 4.2].
    """
    if recipe.get("labels") != "permuted":
        return labels
    return labels[np.random.default_rng(key_of("permuted labels", seed)).permutation(len(labels))]


def label_record(given: Int[ndarray, " image"], trained: Int[ndarray, " image"]) -> dict[str, float]:
    """Return what is recorded of labels that are not the given ones: the share of images that have theirs; empty if all have."""
    kept = float((given == trained).mean())
    return {} if kept == 1 else {"labels_kept": kept}
