"""Controls made of the maps of others: another network's, or the mean over images of a sample."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from clxai.attribution.base import Explanation, Pool, Problem, method


@method(
    "borrowed",
    families=("control",),
    signed=True,
    reduction="none",
    borrows="maps",
    options={"of": "integrated_gradients", "model": None, "seed": "own", "head_if_absent": "linear"},
)
def borrowed(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The map of the same image by another model, another seed or both, of the head of the same name."""
    return Explanation(problem.pool.of(problem.index)[:, None])


@method(
    "mean_map",
    families=("control",),
    scope="aggregated",
    blind=True,
    signed=True,
    reduction="none",
    borrows="maps",
    options={"of": "integrated_gradients", "sample": "training"},
)
def mean_map(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """One map for all images: the mean over the finite maps of a sample, which should be of the training split."""
    return Explanation(_means(problem.pool, torch.ones_like(problem.target[:, None] == problem.pool.target)))


@method(
    "class_mean",
    families=("control",),
    scope="aggregated",
    blind=True,
    signed=True,
    reduction="none",
    borrows="maps",
    options={"of": "integrated_gradients", "sample": "training"},
)
def class_mean(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """One map per predicted class: the mean over the finite maps of a sample that explain the class, NaN if there are none."""
    return Explanation(_means(problem.pool, problem.target[:, None] == problem.pool.target))


def _means(pool: Pool, chosen: Bool[Tensor, "image pooled"]) -> Tensor:
    """Return for each image the mean [image, 1, y, x] of the chosen maps that are finite."""
    maps = pool.maps.flatten(1)
    finite = maps.isfinite().all(dim=1)
    weight = (chosen & finite).to(maps.dtype)
    means = weight @ maps.where(finite[:, None], 0) / weight.sum(dim=1, keepdim=True)
    return means.unflatten(1, pool.maps.shape[1:])[:, None]
