"""Nearest neighbours on the unit sphere, brute force: one matrix product and a partial sort."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def search(
    points: Float[Tensor, "image feature"], bank: Float[Tensor, "item feature"], k: int
) -> tuple[Float[Tensor, "image k"], Int[Tensor, "image k"]]:
    """Return the k largest cosines of unit points with a unit bank, falling, and the items that they belong to."""
    return (points @ bank.T).topk(k, dim=1)


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
