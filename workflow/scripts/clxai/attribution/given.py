"""Maps that a method is given: those of the methods that it needs, image by image, and those that it borrows, a whole sample."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xarray
from torch import Tensor

from clxai.attribution.base import METHODS, Pool
from clxai.attribution.brought import read_brought
from clxai.errors import ClxaiError
from clxai.registry import Entry
from clxai.runs import Run
from clxai.runtime.artefacts import read_arrays

INHERITED = ("signed", "aligned_to")  # what maps made of others have of them


def read_maps(paths: Iterable[str | Path]) -> dict[str, xarray.Dataset]:
    """Read the maps of several methods, by the name of each file without its ending: that of its method."""
    return {Path(path).stem: read_arrays(path) for path in paths}


def read_borrowed(paths: Sequence[str | Path], run: Run, method: str, options: Mapping[str, Any]) -> xarray.Dataset | None:
    """Read the maps that a method borrows, one file, or that a user brings, one or more; None if there are none."""
    if METHODS[method].semantics["borrows"] == "file":
        return read_brought(run, options)
    return read_arrays(paths[0]) if paths else None


def needed_maps(run: Run, entry: Entry, maps: Mapping[str, xarray.Dataset]) -> dict[str, dict[str, Tensor]]:
    """Return, for each head, the maps [image, y, x] of each method that a method needs.

    Raises ClxaiError if one is missing, of other images or lacks a head.
    """
    needed: dict[str, dict[str, Tensor]] = {head: {} for head in run.heads}
    for name in entry.semantics["needs"]:
        if name not in maps:
            raise ClxaiError(f"method {entry.name!r} needs the maps of {name!r}. Got {', '.join(maps) or 'none'}")
        found = maps[name]["attribution"]
        if not set(run.heads) <= set(found["head"].values) or found["image"].values.tolist() != run.index.tolist():
            raise ClxaiError(
                f"method {entry.name!r}: the maps of {name!r} are of other images or heads: delete them and run again"
            )
        for head, own in needed.items():
            own[name] = torch.from_numpy(found.sel(head=head).values).to(run.index.device)
    return needed


def pools(run: Run, entry: Entry, options: Mapping[str, Any], borrowed: xarray.Dataset | None) -> dict[str, Pool | None]:
    """Return, for each head, the maps that a method borrows: those of the same head, or of `head_if_absent` where it is absent.

    None for a method that borrows none. Raises ClxaiError if they are missing, of another size or lack both heads.
    """
    if entry.semantics["borrows"] not in ("maps", "file"):
        return dict.fromkeys(run.heads)
    if borrowed is None and entry.semantics["borrows"] == "file":
        raise ClxaiError(f"method {entry.name!r} needs maps that were read from a file. Got none")
    if borrowed is None:
        raise ClxaiError(f"method {entry.name!r} borrows the maps of {options['of']!r}. Got none")
    size = borrowed["attribution"].shape[-2:]
    if size != run.shape:
        raise ClxaiError(f"method {entry.name!r}: the maps of {options['of']!r} are of {size}, the images of {run.shape}")
    heads = _heads(run, entry, options, borrowed)
    return {own: _pool(borrowed.sel(head=there), run.index.device) for own, there in heads.items()}


def provenance(run: Run, entry: Entry, options: Mapping[str, Any], borrowed: xarray.Dataset | None) -> dict[str, Any]:
    """Return what is recorded of borrowed maps: method, heads and what made of them is like them; empty where none are."""
    if entry.semantics["borrows"] == "file" and borrowed is not None:
        return dict(borrowed.attrs)
    if entry.semantics["borrows"] != "maps" or borrowed is None:
        return {}
    heads = _heads(run, entry, options, borrowed)
    record = {"borrowed_method": borrowed.attrs["method"], "borrowed_seed": borrowed.attrs["seed"]}
    record["borrowed_heads"] = ", ".join(f"{own}: {there}" for own, there in heads.items())
    return record | {name: borrowed.attrs[name] for name in INHERITED}


def _heads(run: Run, entry: Entry, options: Mapping[str, Any], borrowed: xarray.Dataset) -> dict[str, str]:
    """Return whose maps each head takes, by head."""
    there, instead = borrowed["head"].values.tolist(), options.get("head_if_absent")
    heads = {own: own if own in there else instead for own in run.heads}
    for own, head in heads.items():
        if head not in there:
            raise ClxaiError(
                f"method {entry.name!r}: the maps of {options['of']!r} have no head {own!r}, nor {instead!r} instead"
            )
    return heads


def _pool(maps: xarray.Dataset, device: torch.device) -> Pool:
    ordered = maps.sortby("image")
    index, target = (torch.from_numpy(ordered[name].values.astype("int64")).to(device) for name in ("image", "target"))
    return Pool(torch.from_numpy(ordered["attribution"].values).to(device), index, target)
