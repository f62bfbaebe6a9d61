"""Nearest neighbours on the unit sphere, brute force: one matrix product and a partial selection."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.runtime.memory import rows_at_once

Found = tuple[Float[Tensor, "image k"], Int[Tensor, "image k"]]


def search(points: Float[Tensor, "image feature"], bank: Float[Tensor, "item feature"], k: int) -> Found:
    """Return the k largest cosines of unit points with a unit bank, in no order, and the items that they belong to.

    As many points at a time as keep the table of cosines small: a large bank would fill the memory otherwise.
    """
    together = rows_at_once(len(bank), points.device)
    parts = [largest(some @ bank.T, k) for some in points.split(together)]
    return torch.cat([values for values, _ in parts]), torch.cat([items for _, items in parts])


def largest(similarity: Float[Tensor, "image item"], k: int) -> Found:
    """Return the k largest values of each row, in no order, and their places.

    On the CPU by NumPy's vectorised selection, which is several times as fast as torch's.
    """
    n_items = similarity.shape[1]
    if similarity.is_cuda:
        return tuple(similarity.topk(k, dim=1, sorted=False))
    places = np.argpartition(similarity.detach().numpy(), n_items - k, axis=1)[:, n_items - k :]
    chosen = torch.from_numpy(np.ascontiguousarray(places))
    return similarity.gather(1, chosen), chosen


def narrowed(found: Found, k: int) -> tuple[Float[Tensor, "image few"], Int[Tensor, "image few"]]:
    """Return the k largest of what was found already."""
    values, items = found
    if k == values.shape[1]:
        return found
    values, places = largest(values, k)
    return values, items.gather(1, places)


def kth_largest(values: Float[Tensor, "image item"], k: int) -> Float[Tensor, " image"]:
    """Return the k-th largest value of each row."""
    n_items = values.shape[1]
    if values.is_cuda:
        return values.topk(k, dim=1, sorted=False)[0].amin(dim=1)
    return torch.from_numpy(np.partition(values.numpy(), n_items - k, axis=1)[:, n_items - k].copy())


def vote_counts(owners: Int[Tensor, "image k"], n_classes: int) -> Float[Tensor, "image class"]:
    """Return how many neighbours of each image are of each class."""
    votes = torch.ones(owners.shape, device=owners.device)
    return votes.new_zeros(len(owners), n_classes).scatter_add(1, owners, votes)


def vote_accuracy(
    queries: Float[Tensor, "query feature"],
    query_labels: Int[Tensor, " query"],
    bank: Float[Tensor, "item feature"],
    bank_labels: Int[Tensor, " item"],
    k: int,
) -> float:
    """Return the share of queries whose label wins the vote of its k nearest items by cosine, in [0, 1]."""
    _, nearest = search(functional.normalize(queries, dim=1), functional.normalize(bank, dim=1), k)
    n_classes = int(max(query_labels.max(), bank_labels.max())) + 1
    return float((vote_counts(bank_labels[nearest], n_classes).argmax(dim=1) == query_labels).float().mean())
