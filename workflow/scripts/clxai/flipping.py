"""The flipping engine: perturbed images of many images and steps in one forward pass, read by all heads at once.

Per image and step it records the score of every head and where the embedding went. Deletion is the MoRF curve; insertion of the
most important units first is the LeRF curve read backwards, so no third order is needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from clxai.heads import Head, log_odds
from clxai.inference import Encoder
from clxai.names import ORDERS
from clxai.perturbation import fill_images, removal_masks

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

    def scores(self, path: Float[Tensor, "image step feature"], image: slice) -> Quantities:
        """Return probability, matched probability, log-odds [head, image, step] of the targets and the predictions."""
        flat, shape = path.flatten(0, 1), path.shape[:2]
        rows: dict[str, list[Tensor]] = {"probability": [], "probability_matched": [], "log_odds": [], "prediction": []}
        for number, head in enumerate(self.heads.values()):
            target = self.targets[number, image].repeat_interleave(shape[1])
            scores, prediction = head.decide(flat)
            odds = log_odds(scores, target)
            rows["probability"].append(odds.sigmoid())
            rows["probability_matched"].append(log_odds(scores / head.temperature, target).sigmoid())
            rows["log_odds"].append(odds)
            rows["prediction"].append(prediction)
        return {name: torch.stack(row).unflatten(1, shape) for name, row in rows.items()}

    def drift(self, path: Float[Tensor, "image step feature"], fraction: Float[Tensor, " step"]) -> Quantities:
        """Return how far each embedding is from the clean one and from the training bank, and the shape of its path.

        drift_l2, drift_cosine (1 - cos) against step 0; bank_distance: Euclidean distance of unit vectors to the k-th
        neighbour [Sun et al. 2022]; step_length |z_j - z_(j-1)|, 0 at step 0; acceleration: norm of the second divided
        difference against the removed fraction, NaN at both ends. All [image, step].
        """
        units = functional.normalize(path, dim=-1)
        similarity = units.flatten(0, 1) @ self.bank.T
        nearest = similarity.topk(self.bank_k, dim=1).values[:, -1].reshape(path.shape[:2])
        steps = path.diff(dim=1)
        slope = steps / fraction.diff()[:, None]
        bend = 2 * slope.diff(dim=1).norm(dim=-1) / (fraction[2:] - fraction[:-2])
        return {
            "drift_l2": (path - path[:, :1]).norm(dim=-1),
            "drift_cosine": 1 - (units * units[:, :1]).sum(-1),
            "bank_distance": (2 - 2 * nearest).clamp(min=0).sqrt(),
            "step_length": functional.pad(steps.norm(dim=-1), (1, 0)),
            "acceleration": functional.pad(bend, (1, 1), value=torch.nan),
        }

    def centroid_distance(self, path: Float[Tensor, "image step feature"], image: slice) -> Float[Tensor, "head image step"]:
        """Return the distance to the centroid of each head's target class, raw embedding."""
        distance = torch.cdist(path, self.centroids.expand(len(path), -1, -1))
        target = self.targets[:, image, None, None].expand(-1, -1, path.shape[1], 1)
        return distance.expand(len(self.targets), -1, -1, -1).gather(3, target).squeeze(3)


@dataclass(frozen=True)
class Flipping:
    """How images are perturbed: fills, counts of removed units per step, unit size, seed, images per forward pass."""

    fills: tuple[str, ...]
    counts: Int[Tensor, " step"]
    unit_px: int
    seed: int
    batch_size: int

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
) -> Iterator[tuple[tuple[int, int, int, slice], Quantities, Float[Tensor, "image step feature"]]]:
    """Perturb and observe; yields ((explained, fill, order, images), quantities, embedding path) piece by piece.

    All inner steps of a group of images go through the network together; clean and fully removed images are shared by both
    orders and all explanations. `rank` is 0 for the most important unit.
    """
    backbone, device = encoder.backbone, images.device
    counts, fraction = flipping.counts.to(device), flipping.fraction.to(device)
    n_inner, n_units = len(counts) - 2, rank.shape[2]
    per_group = max(1, flipping.batch_size // max(1, n_inner))
    groups = range(0, len(images), per_group)
    progress = tqdm(total=len(images) * len(rank) * len(flipping.fills), desc="flipping", unit="map", mininterval=2)
    for start in groups:
        group = slice(start, min(start + per_group, len(images)))
        clean = images[group]
        # Masks and the affine normalisation commute: both sources are normalised once, instead of every perturbed image.
        source = encoder.normalise(clean)
        first = backbone(source)[:, None]
        for fill_number, fill in enumerate(flipping.fills):
            filled = encoder.normalise(fill_images(fill, clean, encoder.mean, index[group], flipping.seed))
            last = backbone(filled)[:, None]
            for explained in range(len(rank)):
                for order in range(len(ORDERS)):
                    ranks = rank[explained, group] if order == 0 else n_units - 1 - rank[explained, group]
                    removed = removal_masks(ranks, counts[1:-1], flipping.unit_px)[:, :, None]
                    perturbed = torch.where(removed, filled[:, None], source[:, None]).flatten(0, 1)
                    inner = _embed(backbone, perturbed, flipping.batch_size).unflatten(0, (len(clean), n_inner))
                    path = torch.cat([first, inner, last], dim=1)
                    quantities = {**observer.scores(path, group), **observer.drift(path, fraction)}
                    quantities["centroid_distance"] = observer.centroid_distance(path, group)
                    yield (explained, fill_number, order, group), quantities, path
                progress.update(len(clean))
    progress.close()


def _embed(backbone: torch.nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    parts = [backbone(part.contiguous(memory_format=torch.channels_last)) for part in inputs.split(batch_size)]
    return torch.cat(parts)
