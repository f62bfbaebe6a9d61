"""The flipping engine: perturbed images of many images, steps and rankings in one forward pass, read by all heads at once.

Deletion is the MoRF curve; insertion of the most important units first is the LeRF curve read backwards, so no third order is
needed. Nothing waits for the device inside.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from clxai.fills.base import Bank, Fill
from clxai.fills.perturbing import Perturbing
from clxai.flipping.observing import Observer, Quantities
from clxai.names import ORDERS
from clxai.networks.inference import Encoder
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import OBSERVED
from clxai.units.base import Cut
from clxai.units.removal import removed_fraction

Place = tuple[int, int, int, slice]


@dataclass(frozen=True)
class Flipping:
    """How images are perturbed: fills, how images are cut, how many units are gone at each step, seed, batch, precision.

    `counts` has one row for all images or one per image, as the cut has label maps. `bank` is for fills that need it. The
    backbone must have been prepared for the precision (`inference.prepared_for_flipping`).
    """

    fills: tuple[Fill, ...]
    cut: Cut
    counts: Int[Tensor, "map step"]
    seed: int
    batch_size: int
    precision: str = "float32"
    bank: Bank | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the backbone computes."""
        return getattr(torch, self.precision)

    @property
    def fraction(self) -> Tensor:
        """The fraction removed at each step, float64."""
        return removed_fraction(self.counts)

    def first(self, n_images: int) -> "Flipping":
        """Return the plan for the first images and the first fill."""
        bank = self.bank and self.bank.at(slice(n_images))
        return replace(self, fills=self.fills[:1], cut=self.cut.first(n_images), counts=self.counts[:n_images], bank=bank)


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
    fraction, everyone = flipping.fraction.float().to(images.device), torch.arange(len(images), device=images.device)
    clean = encoder.normalise(images).to(flipping.dtype)
    first = _embed(encoder.backbone, lambda image: clean[image], everyone, flipping.batch_size)
    # [ranking, image, unit]: a ranking is an explanation in one of the two orders
    ranks = torch.stack([rank, flipping.cut.units_of(everyone)[:, None] - 1 - rank], dim=1).flatten(0, 1)
    per_group = max(1, OBSERVED * flipping.batch_size // (len(ranks) * (len(fraction) - 2)))
    progress = tqdm(total=len(images) * len(flipping.fills), desc="flipping", unit="image", mininterval=2)
    for fill_number, fill in enumerate(flipping.fills):
        perturbing = Perturbing(encoder, images, index, clean, fill, flipping.seed, flipping.bank).ready()
        last = _embed(encoder.backbone, perturbing.empty, everyone, flipping.batch_size)
        for start in range(0, len(images), per_group):
            group = slice(start, min(start + per_group, len(images)))
            inner = _inner(encoder.backbone, perturbing, flipping, everyone[group], ranks[:, group])
            ends = [end[group].expand(len(ranks), -1, -1)[:, :, None] for end in (first, last)]
            path = torch.cat([ends[0], inner, ends[1]], dim=2).flatten(0, 1)
            quantities = observer.observe(path, everyone[group].repeat(len(ranks)), fraction)
            for number in range(len(ranks)):
                rows = slice(number * inner.shape[1], (number + 1) * inner.shape[1])
                own = {name: value[..., rows, :] for name, value in quantities.items()}
                yield (number // len(ORDERS), fill_number, number % len(ORDERS), group), own, path[rows]
            progress.update(inner.shape[1])
    progress.close()


def _inner(
    backbone: torch.nn.Module,
    perturbing: Perturbing,
    flipping: Flipping,
    group: Int[Tensor, " image"],
    ranks: Int[Tensor, "ranking image unit"],
) -> Float[Tensor, "ranking image step feature"]:
    """Embed every inner step of every ranking of a group of images, in equal batches."""
    flat = ranks.flatten(0, 1)
    counts = flipping.counts[:, 1:-1].to(ranks.device)
    counts = counts.expand(len(group), -1) if len(counts) == 1 else counts[group]
    n_steps = counts.shape[1]

    def embedded(places: Tensor) -> Tensor:
        row, step = places // n_steps, places % n_steps
        own = row % len(group)
        removed = flipping.cut.masks(flat[row], counts[own, step], group[own])
        return backbone(perturbing(group[own], removed))

    n_places = len(flat) * n_steps
    n_batches = -(-n_places // flipping.batch_size)
    places = torch.arange(n_places, device=ranks.device)
    parts = in_chunks(embedded, places, -(-n_places // n_batches), "flipping", "flipping.batch_size")
    return torch.cat(parts).unflatten(0, (*ranks.shape[:2], n_steps))


def _embed(
    backbone: torch.nn.Module, source: Callable[[Tensor], Tensor], image: Int[Tensor, " image"], batch_size: int
) -> Float[Tensor, "image feature"]:
    """Embed what a source gives for some images."""
    return torch.cat(in_chunks(lambda some: backbone(source(some)), image, batch_size, "flipping", "flipping.batch_size"))
