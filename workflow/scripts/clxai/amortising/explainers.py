"""Trained explainers as methods use them: read from their files, asked for one head, their mean taken and how far they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from clxai.amortising.network import Explainer, load_explainer
from clxai.errors import ClxaiError
from clxai.fills.baselines import PREVIEW
from clxai.mask_bank.game import on_pixels
from clxai.runs import Run
from clxai.units.base import Cut, cut_images

_OPTION = "units_"  # begins the record of an option of the units


@dataclass(frozen=True)
class Told:
    """What each explainer says of the units of some images, for a class each, in nat per unit, and how these are cut."""

    values: Float[Tensor, "seed image unit"]
    cut: Cut

    @property
    def mean(self) -> Float[Tensor, "image y x"]:
        """Maps of the mean over the explainers: each pixel has the value of its unit."""
        return on_pixels(self.values.mean(dim=0), self.cut.labels)

    @property
    def spread(self) -> Float[Tensor, " image"]:
        """Root mean square over the units of the standard deviation between explainers, in nat; NaN of a single one."""
        if len(self.values) < 2:
            return torch.full_like(self.values[0, :, 0], torch.nan)
        n_units = self.cut.units_of(torch.arange(self.values.shape[1], device=self.values.device))
        return (self.values.var(dim=0).sum(dim=1) / n_units).sqrt()


@dataclass(frozen=True)
class Explainers:
    """Explainers that differ in their seed alone, with their shared record; `head` is the one that they are asked for."""

    networks: Sequence[Explainer]
    record: Mapping[str, Any]
    head: str | None = None

    @property
    def baseline(self) -> dict[str, Any]:
        """What is recorded of the images that stand for nothing: those of the mask bank of the training images."""
        return {name: value for name, value in self.record.items() if name.startswith("baseline") and name != PREVIEW}

    @property
    def preview(self) -> UInt8[np.ndarray, "reference channel y x"]:
        """Pictures of them."""
        return np.array(self.record[PREVIEW], dtype=np.uint8)

    def of(self, head: str) -> "Explainers":
        """Return them for one head of the model. Raises ClxaiError if they were not trained for it."""
        known = self.networks[0].form.heads
        if head not in known:
            raise ClxaiError(f"the explainers were trained for heads {', '.join(known)}. Got {head!r}: delete them and run again")
        return replace(self, head=head)

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "image channel y x"], target: Int[Tensor, " image"]) -> Told:
        """Return the values of the units of images in [0, 1] for a class each, by one pass through each explainer."""
        cut, place = self.cut(images), self.networks[0].form.heads.index(self.head)
        n_units = cut.units_of(torch.arange(len(images), device=images.device))
        values = torch.stack([network(images, cut.labels, n_units)[:, :, place] for network in self.networks])
        own = target[None, :, None, None].expand(*values.shape[:3], 1)
        return Told(values.gather(3, own).squeeze(3), cut)

    def cut(self, images: Float[Tensor, "image channel y x"]) -> Cut:
        """Return images cut as those that were learnt from. Raises ClxaiError if one has more units than any of those."""
        options = {name.removeprefix(_OPTION): self.record[name] for name in self.record["units_options"]}
        cut, most = cut_images(self.record["units_member"], options, images), self.networks[0].form.places
        if cut.most > most:
            raise ClxaiError(f"the explainers know images of up to {most} units. Got {cut.most}: learn from more images")
        return cut


def record_of(bank: xarray.Dataset) -> dict[str, Any]:
    """Return what explainers keep of the mask bank that they learn from: how images are cut, and what stands for nothing.

    The options of the units are named, since a bank keeps other numbers of its units too.
    """
    kept = {name: value for name, value in bank.attrs.items() if name.startswith(("baseline", "units"))}
    plain = {name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for name, value in kept.items()}
    options = [name for name in plain if name.startswith(_OPTION) and name != "units_member"]
    return {**plain, "units_options": options, "fill_seed": int(bank.attrs["fill_seed"]), PREVIEW: bank[PREVIEW].values.tolist()}


def read_explainers(paths: Sequence[str | Path], device: torch.device) -> Explainers | None:
    """Read the explainers that a method asks, a file each; None if there are none. Raises ClxaiError if they differ in form."""
    if not paths:
        return None
    networks, records = zip(*(load_explainer(path, device) for path in paths), strict=True)
    if any(network.form != networks[0].form for network in networks):
        raise ClxaiError(f"{paths[0]} and the other explainers are of different forms: delete them and run again")
    return Explainers(networks, records[0])


def asked(run: Run, explainers: Explainers | None, method: str) -> dict[str, Explainers]:
    """Return the explainers for each head of a run. Raises ClxaiError if there are none, or if they are for other images."""
    if explainers is None:
        raise ClxaiError(f"method {method!r} asks trained explainers. Got none: give the files of rule train_explainer")
    form = explainers.networks[0].form
    if form.shape != tuple(run.data.images.shape[1:]) or form.n_classes != run.data.n_classes:
        raise ClxaiError(
            f"method {method!r}: the explainers are for {form.n_classes} classes and images {list(form.shape)}, the data have "
            f"{run.data.n_classes} and {list(run.data.images.shape[1:])}: delete them and run again"
        )
    return {head: explainers.of(head) for head in run.heads}
