"""The explainer: a Transformer encoder over the units of an image, one token each, that says what each unit adds to every class.

Blocks of our own, of torch's parts: the fused path that torch's encoder layer takes without gradients computes other numbers than
its training, and is not seen by `attribution/costing`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clxai.amortising.recipes import PER_ATTENTION
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.networks.architecture import all_finite, check_shapes
from clxai.runtime.artefacts import read_tensors, write_tensors

_GROWTH = 2  # hidden features of a block, in multiples of its width
_PLACES_FROM = 0.1  # standard deviation of the first values of a pixel's place


@dataclass(frozen=True)
class Form:
    """What an explainer is apart from its weights.

    `shape` is [channel, y, x] of its images, `mean` and `std` normalise them, `heads` are explained, `places` is the largest
    number of units of an image. `width` features a token, a multiple of `PER_ATTENTION`, and `depth` blocks.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    heads: tuple[str, ...]
    n_classes: int
    places: int
    width: int
    depth: int


class Block(nn.Module):
    """A block of a Transformer encoder: attention, then two dense layers, each after a layer norm and added to what was there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, _GROWTH * width), nn.GELU(), nn.Linear(_GROWTH * width, width))

    def forward(
        self, tokens: Float[Tensor, "image unit feature"], there: Bool[Tensor, "image unit"]
    ) -> Float[Tensor, "image unit feature"]:
        """Return the tokens after the block; those of units that an image lacks are looked at by none."""
        parts = self.project(self.before(tokens)).unflatten(2, (3, -1, PER_ATTENTION)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts, attn_mask=there[:, None, None])
        tokens = tokens + self.join(mixed.transpose(1, 2).flatten(2))
        return tokens + self.dense(self.after(tokens))


class Explainer(nn.Module):
    """Values of units for every head and class, in nat per unit, from images in [0, 1] and their units.

    A token is the mean, over the pixels of a unit, of 3x3 convolutions and of what each place of the image has learnt to be, so
    that any cut will do. The last layer begins at 0. `scale` [head] is in nat: what the weights say is in multiples of it.
    """

    def __init__(self, form: Form, scale: Float[Tensor, " head"]) -> None:
        super().__init__()
        self.form, (channels, *sides) = form, form.shape
        self.stem = nn.Conv2d(channels, form.width, 3, padding=1, padding_mode="replicate")
        self.place = nn.Parameter(_PLACES_FROM * torch.randn(form.width, *sides))
        self.blocks = nn.ModuleList(Block(form.width) for _ in range(form.depth))
        self.norm, self.last = nn.LayerNorm(form.width), nn.Linear(form.width, len(form.heads) * form.n_classes)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("scale", scale.float())
        for name, values in (("mean", form.mean), ("std", form.std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(
        self, images: Float[Tensor, "image channel y x"], labels: Int[Tensor, "map y x"], n_units: Int[Tensor, " image"]
    ) -> Float[Tensor, "image unit head class"]:
        """Return the values; 0 for units that an image lacks. `labels` has one map of units for all images or one for each."""
        there = torch.arange(self.form.places, device=images.device) < n_units[:, None]
        pixels = functional.gelu(self.stem((images - self.mean) / self.std)) + self.place
        tokens = (pixels.flatten(2) @ _shares(labels, self.form.places)).mT
        for block in self.blocks:
            tokens = block(tokens, there)
        found = self.last(self.norm(tokens)).unflatten(2, (len(self.form.heads), self.form.n_classes))
        return found * self.scale[:, None] * there[..., None, None]


def build_explainer(form: Form, scale: Float[Tensor, " head"], seed: int) -> Explainer:
    """Return an explainer whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of("explainer weights", seed))
        return Explainer(form, scale)


def save_explainer(explainer: Explainer, record: Mapping[str, Any], path: str | Path) -> None:
    """Write weights, form and a record as safetensors."""
    write_tensors(explainer.state_dict(), {"kind": "explainer", "form": asdict(explainer.form), "record": dict(record)}, path)


def load_explainer(path: str | Path, device: torch.device) -> tuple[Explainer, dict[str, Any]]:
    """Return a frozen explainer and its record. Raises ClxaiError if the file is none or its weights are not finite."""
    tensors, stored = read_tensors(path)
    if stored.get("kind") != "explainer":
        raise ClxaiError(f"{path}: not an explainer (kind {stored.get('kind')!r})")
    form = Form(**{name: tuple(value) if isinstance(value, list) else value for name, value in stored["form"].items()})
    explainer = Explainer(form, torch.ones(len(form.heads)))
    check_shapes(tensors, explainer.state_dict(), path)
    if not all_finite(tensors):
        raise ClxaiError(f"{path}: weights are not finite")
    explainer.load_state_dict(tensors)
    return explainer.to(device).eval().requires_grad_(False), stored["record"]


def _shares(labels: Int[Tensor, "map y x"], places: int) -> Float[Tensor, "map pixel unit"]:
    """Return for each unit the share of each pixel in its mean. As a matrix: sums by index are not reproducible on a GPU."""
    member = functional.one_hot(labels.flatten(1).long(), places).float()
    return member / member.sum(dim=1, keepdim=True).clamp(min=1)
