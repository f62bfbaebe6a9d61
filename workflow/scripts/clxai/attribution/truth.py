"""How much of a map lies where the evidence is known to be."""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor


def truth_of(maps: Float[Tensor, "head image y x"], evidence: UInt8[Tensor, "image y x"]) -> dict[str, Float[Tensor, "..."]]:
    """Return `relevance_mass` and `relevance_rank` [head, image], and `evidence_share` [image], what both are by chance.

    Evidence is all of its parts. By chance: for a constant map the mass, for a random one both in expectation.
    """
    inside = evidence > 0
    found = {"relevance_mass": relevance_mass(maps, inside), "relevance_rank": relevance_rank(maps, inside)}
    return {**found, "evidence_share": inside.double().mean((-2, -1))}


def relevance_mass(maps: Float[Tensor, "head image y x"], inside: Bool[Tensor, "image y x"]) -> Float[Tensor, "head image"]:
    """Return the share of the positive relevance that is inside [Arras, Osman, Samek 2022], 0..1.

    NaN where a map has no positive relevance or is not finite, and for an image without evidence.
    """
    positive = maps.double().clamp(min=0)
    return torch.where(inside.any(-1).any(-1), (positive * inside).sum((-2, -1)) / positive.sum((-2, -1)), torch.nan)


def relevance_rank(maps: Float[Tensor, "head image y x"], inside: Bool[Tensor, "image y x"]) -> Float[Tensor, "head image"]:
    """Return the share of the K highest pixels that is inside, K the number of pixels inside [Arras, Osman, Samek 2022], 0..1.

    Pixels that tie with the K-th count by the share of them that the K has room for: the expectation over random orders of ties.
    NaN where a map is not finite, and for an image without evidence.
    """
    values, inside = maps.double().flatten(-2), inside.flatten(-2)
    size = inside.sum(-1)  # [image]
    descending = values.sort(dim=-1, descending=True).values
    least = descending.gather(-1, (size - 1).clamp(min=0).expand(len(values), -1)[..., None])
    above, level = values > least, values == least
    room = (size - above.sum(-1)) / level.sum(-1)
    hits = (above & inside).sum(-1) + room * (level & inside).sum(-1)
    usable = values.isfinite().all(-1) & (size > 0)
    return torch.where(usable, hits / size, torch.nan)
