"""In which order units are removed, and how many are gone at each step."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.randomness import keyed_uniform


def rank_units(
    scores: Float[Tensor, "image unit"],
    index: Int[Tensor, " image"],
    seed: int,
    n_units: Int[Tensor, " image"] | None = None,
) -> tuple[Int[Tensor, "image unit"], Bool[Tensor, " image"]]:
    """Return each unit's rank, 0 for the highest score, and which images are degenerate (constant or not finite).

    Ties are broken by a key drawn from (seed, image index), not by position, which would favour the top left. A degenerate
    map is ranked by that key alone, that is, at random. Places beyond an image's own `n_units` are ranked last.
    """
    absent = _absent(scores, n_units)
    highest, lowest = scores.masked_fill(absent, -torch.inf).amax(dim=1), scores.masked_fill(absent, torch.inf).amin(dim=1)
    degenerate = ~(torch.isfinite(scores) | absent).all(dim=1) | (highest == lowest)
    usable = torch.where(degenerate[:, None], torch.zeros_like(scores), scores).masked_fill(absent, -torch.inf)
    shuffled = keyed_uniform(key_of("ties", seed), index, scores.shape[1]).argsort(dim=1)
    order = shuffled.gather(1, usable.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))
    places = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places), degenerate


def _absent(scores: Tensor, n_units: Tensor | None) -> Bool[Tensor, "image unit"]:
    """Return which places belong to no unit of the image."""
    if n_units is None:
        return torch.zeros_like(scores, dtype=torch.bool)
    return torch.arange(scores.shape[1], device=scores.device) >= n_units[:, None]


def tie_fraction(values: Float[Tensor, "image value"], n_values: Int[Tensor, " image"] | None = None) -> Float[Tensor, " image"]:
    """Return the share of values that occur more than once in their row, in [0, 1]; of its first `n_values`, where given."""
    absent = _absent(values, n_values)
    ordered = values.masked_fill(absent, torch.nan).sort(dim=1).values  # no NaN equals another
    same = ordered[:, 1:] == ordered[:, :-1]
    tied = functional.pad(same, (1, 0)) | functional.pad(same, (0, 1))
    return tied.to(values.dtype).sum(dim=1) / (~absent).sum(dim=1)


def removal_counts(
    n_units: Int[Tensor, " image"], n_steps: int, where: str = "the study", count: str | None = None
) -> Int[Tensor, "image step"]:
    """Return how many units of each image are gone at each of the n_steps + 1 points, round(j n / n_steps), from 0 to all.

    Raises ClxaiError if an image has fewer units than there are steps; `where` names what made them, `count` its
    option that asks for a number of units, of which an image may get fewer.
    """
    least = int(n_units.min())
    if not 1 <= n_steps <= least:
        help_ = f": lower flipping.steps, or raise {where}.{count}, of which an image may get fewer" if count else ""
        known = f"the least number of units of an image by {where}"
        raise ClxaiError(f"flipping.steps must be in 1..{least}, {known}. Got {n_steps}{help_}")
    steps = torch.arange(n_steps + 1, dtype=torch.float64, device=n_units.device)
    return torch.round(steps * n_units[:, None] / n_steps).long()


def removed_fraction(counts: Int[Tensor, "image step"]) -> Float[Tensor, " step"]:
    """Return the fraction removed at each step, float64: that of the units if all images have as many, else j / n_steps."""
    if (counts == counts[:1]).all():
        return counts[0].double() / counts[0, -1]
    steps = torch.arange(counts.shape[1], dtype=torch.float64, device=counts.device)
    return steps / (counts.shape[1] - 1)
