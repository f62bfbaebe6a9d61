"""The training images that are nearest to an image: the nearest that is classified otherwise, against the nearest that is not."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clxai.analyses.base import Payload, View, analysis
from clxai.heads.base import Head
from clxai.runs import Run
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import rows_at_once


@analysis(
    "nearest_unlike",
    payload="neighbours",
    scope="local",
    families=("counterfactual",),
    gives={
        "neighbour": {"axes": ("head", "image"), "unit": "image", "shown": "none"},
        "neighbour_class": {"axes": ("head", "image"), "unit": "class", "shown": "none"},
        "neighbour_label": {"axes": ("head", "image"), "unit": "class", "shown": "none"},
        "target": {"axes": ("head", "image"), "unit": "class", "shown": "none"},
        "distance": {"axes": ("head", "image"), "unit": "own", "shown": "none"},
        "like_distance": {"axes": ("head", "image"), "unit": "own", "shown": "none"},
        "ratio": {"axes": ("head", "image"), "unit": "1"},
    },
)
def nearest_unlike(view: View, options: Mapping[str, Any]) -> Payload:
    """The nearest training image that the head gives another class, by its own distances, and how much farther it is than the
    nearest that it gives the same class: about 1 at a boundary.

    An image is no neighbour of itself. The ratio is not defined where a training image has the very same embedding, nor where one
    of the two neighbours is missing; `neighbour` is then -1.
    """
    bank, labels = view.run.training_bank()
    found: dict[str, list[Tensor]] = {}
    for head in view.heads.values():
        classes = _predicted(head, bank)
        row = _neighbours(head, view.run, bank, classes)
        known, place = row["neighbour"] >= 0, row.pop("place")
        row["neighbour_class"] = torch.where(known, classes[place], -1)
        row["neighbour_label"] = torch.where(known, labels[place], -1)
        for name, values in row.items():
            found.setdefault(name, []).append(values)
    return Payload({name: torch.stack(values) for name, values in found.items()})


def _predicted(head: Head, bank: Tensor) -> Tensor:
    """Return the class that a head gives each training image."""
    return torch.cat([head.predict(some) for some in bank.split(rows_at_once(len(bank), bank.device))])


def _neighbours(head: Head, run: Run, bank: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Return class, nearest unlike neighbour with its place in the bank, both distances and their ratio, of each image."""
    own, there = head.coordinates(run.embeddings).double(), head.coordinates(bank).double()
    items = torch.from_numpy(run.data.indices("train")).to(bank.device)
    target = head.predict(run.embeddings)

    def compute(rows: Tensor) -> tuple[Tensor, ...]:
        far = torch.cdist(own[rows], there, compute_mode="donot_use_mm_for_euclid_dist")
        far = far.masked_fill(run.index[rows, None] == items, torch.inf)
        like = classes == target[rows, None]
        unlike = far.masked_fill(like, torch.inf).min(dim=1)
        return unlike.values, unlike.indices, far.masked_fill(~like, torch.inf).amin(dim=1)

    rows = torch.arange(len(own), device=own.device)
    parts = in_chunks(compute, rows, rows_at_once(len(bank), bank.device), "neighbours")
    distance, place, like_distance = (torch.cat(found) for found in zip(*parts, strict=True))
    known = torch.isfinite(distance)
    distance, like_distance = (far.where(torch.isfinite(far), torch.nan) for far in (distance, like_distance))
    ratio = torch.where(like_distance > 0, distance / like_distance, torch.nan)
    neighbour = torch.where(known, items[place], -1)
    row = {"neighbour": neighbour, "place": place, "target": target, "distance": distance}
    return {**row, "like_distance": like_distance, "ratio": ratio}
