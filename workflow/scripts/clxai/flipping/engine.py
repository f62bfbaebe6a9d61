"""The flipping engine: perturbed images of many images, steps and rankings in one forward pass, read by all heads at once.

Per image and step it records the score of every head and where the embedding went. Deletion is the MoRF curve; insertion of the
most important units first is the LeRF curve read backwards, so no third order is needed. Nothing waits for the device inside.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from clxai.heads.base import Head, log_odds
from clxai.names import ORDERS
from clxai.networks.inference import Encoder
from clxai.networks.neighbours import narrowed, search
from clxai.runtime.chunks import in_chunks
from clxai.units.base import fill_images, removal_masks

_BATCHES_OBSERVED = 4  # forward passes whose embeddings are observed together: reading them off has many small steps
Quantities = dict[str, Tensor]
Place = tuple[int, int, int, slice]


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


@dataclass(frozen=True)
class Flipping:
    """How images are perturbed: fills, counts of removed units per step, unit size, seed, images per forward pass, precision.

    The backbone must have been prepared for the precision (`inference.prepare_for_flipping`).
    """

    fills: tuple[str, ...]
    counts: Int[Tensor, " step"]
    unit_px: int
    seed: int
    batch_size: int
    precision: str = "float32"

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the backbone computes."""
        return getattr(torch, self.precision)

    @property
    def fraction(self) -> Tensor:
        """The fraction removed at each step, float32."""
        return (self.counts.double() / self.counts[-1]).float()


@torch.no_grad()
def flip(
    encoder: Encoder,
    observer: Observer,
    images: Float[Tensor, "image channel y x"],
    index: Int[Tensor, " image"],
    rank: Int[Tensor, "explained image unit"],
    flipping: Flipping,
) -> Iterator[tuple[Place, Quantities, Float[Tensor, "image step feature"]]]:
    """Perturb and observe; yields ((explained, fill, order, images), quantities, embedding path) piece by piece.

    `rank` is 0 for the most important unit. All inner steps of all rankings, in both orders, of a group of images go together;
    clean and fully removed images are embedded once. Scores are [head, image, step], drifts [image, step].
    """
    counts, fraction = flipping.counts.to(images.device), flipping.fraction.to(images.device)
    # Masks and the affine normalisation commute: both sources are normalised once, instead of every perturbed image.
    source = encoder.normalise(images).to(flipping.dtype)
    first = _embed(encoder.backbone, source, flipping.batch_size)
    # [ranking, image, unit]: a ranking is an explanation in one of the two orders
    ranks = torch.stack([rank, rank.shape[2] - 1 - rank], dim=1).flatten(0, 1)
    per_group = max(1, _BATCHES_OBSERVED * flipping.batch_size // (len(ranks) * (len(counts) - 2)))
    progress = tqdm(total=len(images) * len(flipping.fills), desc="flipping", unit="image", mininterval=2)
    for fill_number, fill in enumerate(flipping.fills):
        filled = encoder.normalise(fill_images(fill, images, encoder.mean, index, flipping.seed)).to(flipping.dtype)
        last = _embed(encoder.backbone, filled, flipping.batch_size)
        for start in range(0, len(images), per_group):
            group = slice(start, min(start + per_group, len(images)))
            inner = _inner(encoder.backbone, source[group], filled[group], ranks[:, group], counts[1:-1], flipping)
            ends = [end[group].expand(len(ranks), -1, -1)[:, :, None] for end in (first, last)]
            path = torch.cat([ends[0], inner, ends[1]], dim=2).flatten(0, 1)
            owner = torch.arange(group.start, group.stop, device=images.device).repeat(len(ranks))
            quantities = observer.observe(path, owner, fraction)
            for number in range(len(ranks)):
                rows = slice(number * inner.shape[1], (number + 1) * inner.shape[1])
                own = {name: value[..., rows, :] for name, value in quantities.items()}
                yield (number // len(ORDERS), fill_number, number % len(ORDERS), group), own, path[rows]
            progress.update(inner.shape[1])
    progress.close()


def _inner(
    backbone: torch.nn.Module, source: Tensor, filled: Tensor, ranks: Tensor, counts: Tensor, flipping: Flipping
) -> Float[Tensor, "ranking image step feature"]:
    """Embed every inner step of every ranking of a few images, in equal batches."""
    flat, n_steps = ranks.flatten(0, 1), len(counts)

    def embedded(places: Tensor) -> Tensor:
        row, step = places // n_steps, places % n_steps
        image = row % len(source)
        removed = removal_masks(flat[row], counts[step], flipping.unit_px)[:, None]
        perturbed = torch.where(removed, filled[image], source[image])
        return backbone(perturbed)

    n_places = len(flat) * n_steps
    n_batches = -(-n_places // flipping.batch_size)
    places = torch.arange(n_places, device=ranks.device)
    parts = in_chunks(embedded, places, -(-n_places // n_batches), "flipping", "flipping.batch_size")
    return torch.cat(parts).unflatten(0, (*ranks.shape[:2], n_steps))


def _embed(backbone: torch.nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    def embedded(places: Tensor) -> Tensor:
        return backbone(inputs[places])

    places = torch.arange(len(inputs), device=inputs.device)
    return torch.cat(in_chunks(embedded, places, batch_size, "flipping", "flipping.batch_size"))
