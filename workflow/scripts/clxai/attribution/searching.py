"""The best and the worst order of removal that a search finds: between them lies every explanation.

A beam search over units, batched over images and candidates. The score of an order is the sum of the target's probability, at the
head's fitted temperature, over the sets of units removed so far: but for its ends the area under the MoRF curve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.attribution.base import Explanation, Problem, method
from clxai.heads.base import log_odds
from clxai.mask_bank.removing import Removing
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once


@method(
    "best_order",
    families=("control",),
    aligned_to="unit",
    removes=True,
    reduction="none",
    options={"units": None, "fill": None, "width": 1, "at_once": 1},
)
def best_order(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The order found in which the probability of the target falls fastest; `width` 1 is greedy [Edin et al. 2025]."""
    return _explained(problem, options, 1.0)


@method(
    "worst_order",
    families=("control",),
    aligned_to="unit",
    removes=True,
    reduction="none",
    options={"units": None, "fill": None, "width": 1, "at_once": 1},
)
def worst_order(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The order found in which the probability of the target falls slowest."""
    return _explained(problem, options, -1.0)


@torch.no_grad()
def _explained(problem: Problem, options: Mapping[str, Any], sign: float) -> Explanation:
    """Return maps whose descending order is the order found: the number of units that are removed after each."""
    removing = problem.removal.on(problem.encoder, problem.images, problem.index)
    place = search(problem, removing, sign, options["width"], options["at_once"])
    labels = removing.cut.labels.expand(len(place), -1, -1).long()
    values = (removing.cut.units_of(problem.rows)[:, None] - 1 - place).gather(1, labels.flatten(1))
    return Explanation(values.view(len(place), 1, *labels.shape[1:]).to(problem.images.dtype))


@dataclass(frozen=True)
class _Beams:
    """Orders begun, `beam` of each image: what is gone, at which place of the order, and the cost so far."""

    gone: Bool[Tensor, "image beam unit"]
    place: Int[Tensor, "image beam unit"]
    cost: Float[Tensor, "image beam"]

    def chosen(self, beam: Int[Tensor, "image some"]) -> "_Beams":
        """Return some beams of each image."""
        wide = beam[..., None].expand(-1, -1, self.gone.shape[2])
        return _Beams(self.gone.gather(1, wide), self.place.gather(1, wide), self.cost.gather(1, beam))


def search(problem: Problem, removing: Removing, sign: float, width: int, together: int) -> Int[Tensor, "image unit"]:
    """Return each unit's place in the order with the least sum of `sign` times the probability, 0 for the first.

    In every round each unit that is left is tried after each of the `width` best beginnings; with `together` above 1 the unit
    tried first takes the next best ones of the same trial with it.
    """
    n_images, n_units, device = len(problem.images), removing.cut.most, problem.index.device
    there = torch.arange(n_units, device=device) < removing.cut.units_of(problem.rows)[:, None]
    nothing = torch.zeros(n_images, 1, n_units, dtype=torch.bool, device=device)
    beams = _Beams(nothing, nothing.long(), torch.zeros(n_images, 1, dtype=torch.float64, device=device))
    for first in range(0, n_units, together):
        left = there[:, None] & ~beams.gone
        trial = torch.full(left.shape, torch.inf, dtype=torch.float64, device=device)
        trial[left] = sign * _probability(problem, removing, beams.gone, left.nonzero())
        beams = _next(beams, trial, left, first, width, together)
        if together > 1:  # what was tried was the first of them alone
            every = torch.ones_like(beams.cost).nonzero()
            met = sign * _probability(problem, removing, beams.gone, every)
            beams = _Beams(beams.gone, beams.place, beams.cost + met.view_as(beams.cost))
    return beams.chosen(beams.cost.argmin(dim=1, keepdim=True)).place[:, 0]


def _probability(
    problem: Problem, removing: Removing, gone: Bool[Tensor, "image beam unit"], rows: Int[Tensor, "row axis"]
) -> Float[Tensor, " row"]:
    """Return the matched probability of the targets, float64, for rows (image, beam), or (image, beam, one unit more)."""
    head = problem.head

    def scored(some: Tensor) -> Tensor:
        image, beam, *unit = rows[some].unbind(dim=1)
        removed = gone[image, beam]
        if unit:
            removed = removed.scatter(1, unit[0][:, None], True)
        scores, _ = head.decide(problem.encoder.backbone(removing.without(removed, image)))
        return log_odds(scores / head.temperature, problem.target[image]).double().sigmoid()

    return torch.cat(
        in_chunks(
            scored, torch.arange(len(rows), device=rows.device), at_once("embedded", problem.images.shape), "search of an order"
        )
    )


def _next(beams: _Beams, trial: Tensor, left: Bool[Tensor, "image beam unit"], first: int, width: int, together: int) -> _Beams:
    """Return the `width` beginnings of the least cost that differ in what is gone, up to `together` units longer."""
    n_beams, n_units = left.shape[1:]
    trial[..., 0] = torch.where(left.any(dim=2), trial[..., 0], 0.0)  # nothing is left: the beam goes on as it is
    cost = (beams.cost[..., None] + trial).flatten(1)
    # As many as may lose the same units as a better one: after another beginning, or with another unit of theirs tried first.
    cost, chosen = cost.topk(min(n_beams * width * together, cost.shape[1]), dim=1, largest=False)
    cost, chosen = (torch.where(cost.isinf(), values[:, :1], values) for values in (cost, chosen))  # fewer are left: copies
    parents, unit = beams.chosen(chosen // n_units), chosen % n_units
    of_parent = (chosen // n_units)[..., None].expand(-1, -1, n_units)
    tried = trial.gather(1, of_parent).scatter(2, unit[..., None], -torch.inf)
    order = tried.argsort(dim=2, stable=True)
    place = torch.empty_like(order).scatter_(2, order, torch.arange(n_units, device=order.device).expand_as(order))
    taken = (place < together) & left.gather(1, of_parent)
    longer = _Beams(
        parents.gone | taken,
        torch.where(taken, first + place, parents.place),
        cost if together == 1 else parents.cost,
    )
    return longer.chosen(_repeated(longer.gone).int().argsort(dim=1, stable=True)[:, :width])


def _repeated(gone: Bool[Tensor, "image beam unit"]) -> Bool[Tensor, "image beam"]:
    """Return which beams have lost the same units as an earlier one of their image, in whatever order."""
    sets = gone.float()
    size = sets.sum(dim=2)
    shared = sets @ sets.transpose(1, 2)
    return ((shared == size[:, :, None]) & (shared == size[:, None])).tril(-1).any(dim=2)
