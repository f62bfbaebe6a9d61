"""What is read off an embedding on its way: scores of every head and where the embedding went; `schema` lists the quantities."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.heads.base import Head, log_odds
from clxai.networks.neighbours import narrowed, search

Quantities = dict[str, Tensor]


@dataclass(frozen=True)
class Observer:
    """What is read off an embedding on its way: the heads, their fixed targets, the class centroids and the training bank.

    `targets` [head, image] is the class that each head predicts on the clean image; `centroids` [class, feature] are the means
    of the raw training embeddings, `bank` [item, feature] the unit ones; `bank_k` is the neighbour whose distance counts.
    """

    heads: Mapping[str, Head]
    targets: Int[Tensor, "head image"]
    centroids: Float[Tensor, "class feature"]
    bank: Float[Tensor, "item feature"]
    bank_k: int

    @cached_property
    def searching(self) -> dict[str, int]:
        """The k of the heads that search the observer's own bank: one search serves them and the bank distance."""
        return {name: k for name, head in self.heads.items() if (k := head.neighbours_in(self.bank))}

    def observe(
        self, path: Float[Tensor, "row step feature"], image: Int[Tensor, " row"], fraction: Float[Tensor, " step"]
    ) -> Quantities:
        """Return every quantity of some paths; `image` says whose they are.

        Scores are [head, row, step], drifts [row, step].
        """
        units = functional.normalize(path, dim=-1)
        found = search(units.flatten(0, 1), self.bank, max([self.bank_k, *self.searching.values()]))
        kth = narrowed(found, self.bank_k)[0].amin(dim=1)
        return {
            **self._scores(path, image, found),
            **self._drift(path, units, fraction),
            "bank_distance": (2 - 2 * kth).clamp(min=0).sqrt().unflatten(0, path.shape[:2]),
            "centroid_distance": self._centroid_distance(path, image),
        }

    def _scores(self, path: Tensor, image: Tensor, found: tuple[Tensor, Tensor]) -> Quantities:
        """Return probability, matched probability, log-odds of the targets and the predictions."""
        flat, shape = path.flatten(0, 1), path.shape[:2]
        decided = [
            head.decide_among(*narrowed(found, self.searching[name])) if name in self.searching else head.decide(flat)
            for name, head in self.heads.items()
        ]
        scores = torch.stack([scores for scores, _ in decided]).unflatten(1, shape)
        target = self.targets[:, image, None].expand(-1, -1, shape[1])
        odds = log_odds(scores, target)
        return {
            "probability": odds.sigmoid(),
            **{f"probability_matched{end}": self._matched(scores, target, end) for end in ("", "_low", "_high")},
            "log_odds": odds,
            "prediction": torch.stack([prediction for _, prediction in decided]).unflatten(1, shape),
        }

    def _matched(self, scores: Tensor, target: Tensor, end: str) -> Tensor:
        """Return the targets' probabilities at the fitted temperatures, or at one end of their intervals."""
        temperature = torch.stack([getattr(head, f"temperature{end}") for head in self.heads.values()])
        return log_odds(scores / temperature.view(-1, 1, 1, 1), target).sigmoid()

    def _drift(self, path: Tensor, units: Tensor, fraction: Tensor) -> Quantities:
        """Return how far each embedding is from the clean one, and the shape of its path.

        drift_l2, drift_cosine (1 - cos) against step 0; step_length |z_j - z_(j-1)|, 0 at step 0; acceleration: norm of the
        second divided difference against the removed fraction, NaN at both ends.
        """
        steps = path.diff(dim=1)
        slope = steps / fraction.diff()[:, None]
        bend = 2 * slope.diff(dim=1).norm(dim=-1) / (fraction[2:] - fraction[:-2])
        return {
            "drift_l2": (path - path[:, :1]).norm(dim=-1),
            "drift_cosine": 1 - (units * units[:, :1]).sum(-1),
            "step_length": functional.pad(steps.norm(dim=-1), (1, 0)),
            "acceleration": functional.pad(bend, (1, 1), value=torch.nan),
        }

    def _centroid_distance(self, path: Tensor, image: Tensor) -> Tensor:
        """Return the distance to the centroid of each head's target class, raw embedding [head, row, step]."""
        distance = torch.cdist(path, self.centroids.expand(len(path), -1, -1))
        target = self.targets[:, image, None, None].expand(-1, -1, path.shape[1], 1)
        return distance.expand(len(self.targets), -1, -1, -1).gather(3, target).squeeze(3)
