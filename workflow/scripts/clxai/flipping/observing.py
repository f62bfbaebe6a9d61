"""What is read off an embedding on its way: scores of every head and where the embedding went; `schema` lists the quantities."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clxai.flipping.density import Density
from clxai.heads.base import Head, log_odds
from clxai.networks.neighbours import kth_largest, narrowed, search

Quantities = dict[str, Tensor]


@dataclass(frozen=True)
class Observer:
    """What is read off an embedding on its way: the heads, their fixed targets, and what is known of the training embeddings.

    `targets` [head, image] is the class that each head predicts on the clean image; `centroids` [class, feature] are the means
    of the raw training embeddings, `mean` that of all, `bank` [item, feature] the unit ones; `bank_k` is the neighbour whose
    distance counts. `density` is None where the covariance is singular, `projection` where the network has none.
    """

    heads: Mapping[str, Head]
    targets: Int[Tensor, "head image"]
    centroids: Float[Tensor, "class feature"]
    mean: Float[Tensor, " feature"]
    bank: Float[Tensor, "item feature"]
    bank_k: int
    density: Density | None = None
    projection: nn.Module | None = None

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
        distances = self._distances(units.flatten(0, 1), found[0])
        return {
            **self._scores(path, image, found),
            **self._drift(path, units, fraction),
            **{name: value.unflatten(0, path.shape[:2]) for name, value in distances.items()},
            **self._places(path, image),
        }

    def distances(self, embeddings: Float[Tensor, "image feature"]) -> Quantities:
        """Return how far embeddings are from those of the training images: each quantity that is `LIMITED`, [image]."""
        units = functional.normalize(embeddings, dim=-1)
        return self._distances(units, search(units, self.bank, self.bank_k)[0])

    def _distances(self, units: Float[Tensor, "image feature"], cosines: Float[Tensor, "image k"]) -> Quantities:
        return {
            "bank_distance": (2 - 2 * kth_largest(cosines, self.bank_k)).clamp(min=0).sqrt(),
            "relative_mahalanobis": units.new_full(units.shape[:1], torch.nan) if self.density is None else self.density(units),
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

        drift_l2, drift_cosine (1 - cos) and drift_projection against step 0; step_length |z_j - z_(j-1)|, 0 at step 0;
        acceleration: norm of the second divided difference against the removed fraction, NaN at both ends.
        """
        steps = path.diff(dim=1)
        slope = steps / fraction.diff()[:, None]
        bend = 2 * slope.diff(dim=1).norm(dim=-1) / (fraction[2:] - fraction[:-2])
        return {
            "drift_l2": (path - path[:, :1]).norm(dim=-1),
            "drift_cosine": 1 - (units * units[:, :1]).sum(-1),
            "drift_projection": self._drift_projection(path),
            "step_length": functional.pad(steps.norm(dim=-1), (1, 0)),
            "acceleration": functional.pad(bend, (1, 1), value=torch.nan),
        }

    def _drift_projection(self, path: Tensor) -> Tensor:
        """Return the distance of unit projections to the clean one [row, step]."""
        if self.projection is None:
            return path.new_full(path.shape[:2], torch.nan)
        projected = functional.normalize(self.projection(path), dim=-1)
        return (projected - projected[:, :1]).norm(dim=-1)

    def _places(self, path: Tensor, image: Tensor) -> Quantities:
        """Return the distances of raw embeddings to centroids.

        To that of each head's target class and to the nearest of the other classes, [head, row, step]; to the mean of all.
        """
        distance = torch.cdist(path, self.centroids.expand(len(path), -1, -1))
        target = self.targets[:, image, None, None].expand(-1, -1, path.shape[1], 1)
        own = distance.expand(len(self.targets), -1, -1, -1).gather(3, target).squeeze(3)
        nearest, classes = distance.topk(2, dim=-1, largest=False)
        other = torch.where(classes[..., 0] == target.squeeze(3), nearest[..., 1], nearest[..., 0])
        return {"centroid_distance": own, "other_distance": other, "mean_distance": (path - self.mean).norm(dim=-1)}
