"""Run one method for all heads of a model and keep what was computed together with what it means."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor

from clxai.attribution.base import METHODS, REDUCTIONS, Explanation, Problem, layer_name
from clxai.attribution.truth import truth_of
from clxai.errors import ClxaiError
from clxai.fills.base import Fill, fill_images, fill_of
from clxai.heads.base import Head, log_odds
from clxai.registry import Entry
from clxai.runs import Run
from clxai.runtime.artefacts import read_arrays
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once
from clxai.units.removal import tie_fraction

_STORED = ("family", "aligned_to", "signed", "stochastic", "per_head", "reduction")  # keywords of a method, beside its maps


def explain(
    run: Run, method_name: str, options: Mapping[str, Any], seed: int, maps: Mapping[str, xarray.Dataset] | None = None
) -> xarray.Dataset:
    """Explain the log-odds of every head on the run's images and return [head, image, y, x] with its record.

    A method that does not depend on the head is computed once and repeated. Values that are not finite stay in the file: the
    flipping engine ranks such maps at random and counts them. `maps` are what this function returned for the methods that this
    one needs.
    """
    entry = METHODS[method_name]
    needed = _needed_maps(run, entry, maps or {})
    settings = entry.options(options, image_size=min(run.images.shape[-2:]))
    if "layer" in settings:
        settings["layer"] = layer_name(run.encoder, settings["layer"])  # the record shall name it
    mode = settings.pop("baseline", entry.semantics["baseline"])
    fill = None if mode is None else fill_of(mode)
    baseline = None if fill is None else _baseline(run, fill, seed)
    rows: dict[str, list[np.ndarray]] = {}
    for name, head in run.heads.items():
        if rows and not entry.semantics["per_head"]:
            _append(rows, {column: rows[column][-1] for column in ("attribution", *entry.semantics["extras"])})
        else:
            _append(rows, _explain_head(run, head, baseline, entry, settings, seed, needed[name]))
            check_map(rows["attribution"][-1], method_name, name)
        _append(rows, _targets(head, run.embeddings))
    found = _labelled(rows, list(run.heads), run.index, entry, settings, _baseline_record(baseline, fill), seed)
    return found if run.evidence is None else found.assign(_truth(found, run.evidence))


def _truth(found: xarray.Dataset, evidence: Tensor) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return how much of each map lies where the evidence is, as variables over head and image, or image."""
    numbers = truth_of(torch.from_numpy(found["attribution"].values), evidence.cpu())
    return {name: (("head", "image")[-values.ndim :], values.float().numpy()) for name, values in numbers.items()}


def read_maps(paths: Iterable[str | Path]) -> dict[str, xarray.Dataset]:
    """Read the maps of several methods, by the name of each file without its ending: that of its method."""
    return {Path(path).stem: read_arrays(path) for path in paths}


def _needed_maps(run: Run, entry: Entry, maps: Mapping[str, xarray.Dataset]) -> dict[str, dict[str, Tensor]]:
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


def check_map(maps: np.ndarray, method_name: str, head_name: str) -> None:
    """Raise ClxaiError if no map of a method is finite: that is a broken method, not a degenerate image."""
    if not np.isfinite(maps).all(axis=(1, 2)).any():
        raise ClxaiError(f"method {method_name!r}, head {head_name!r}: none of {len(maps)} maps is finite")


def _append(rows: dict[str, list[np.ndarray]], values: Mapping[str, np.ndarray]) -> None:
    for name, value in values.items():
        rows.setdefault(name, []).append(value)


def _targets(head: Head, embeddings: Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        scores, target = head.decide(embeddings)
        return {"target": target.cpu().numpy().astype(np.int16), "log_odds": log_odds(scores, target).cpu().numpy()}


def _explain_head(
    run: Run,
    head: Head,
    baseline: Tensor | None,
    entry: Entry,
    settings: Mapping[str, Any],
    seed: int,
    maps: Mapping[str, Tensor],
) -> dict[str, np.ndarray]:
    """Explain one head batch by batch; each batch freezes its own neighbours."""
    images, embeddings, target = run.images, run.embeddings, head.predict(run.embeddings)
    evidence = run.evidence

    def explained(rows: Tensor) -> Explanation:
        problem = Problem(
            encoder=run.encoder,
            checkpoint=run.checkpoint,
            head=head,
            frozen=head.freeze(embeddings[rows]),
            images=images[rows],
            index=run.index[rows],
            target=target[rows],
            baseline=None if baseline is None else baseline[rows],
            seed=seed,
            maps={name: values[rows] for name, values in maps.items()},
            evidence=None if evidence is None else evidence[rows],
        )
        return entry.definition(problem, settings)

    rows = torch.arange(len(images), device=images.device)
    parts = in_chunks(explained, rows, at_once("explained", images.shape), entry.name)
    reduce = REDUCTIONS[entry.semantics["reduction"]]
    maps = torch.cat([reduce(part.maps) for part in parts])
    values = {name: torch.cat([part.extras[name] for part in parts]) for name in entry.semantics["extras"]}
    return {name: value.float().cpu().numpy() for name, value in {"attribution": maps, **values}.items()}


def _baseline(run: Run, fill: Fill, seed: int) -> Tensor:
    return run.encoder.normalise(fill_images(fill, run.images, run.encoder.mean, run.index, seed))


def _labelled(
    rows: Mapping[str, Sequence[np.ndarray]],
    heads: list[str],
    index: Tensor,
    entry: Entry,
    settings: Mapping[str, Any],
    baseline: Mapping[str, Any],
    seed: int,
) -> xarray.Dataset:
    axes = {"attribution": ("head", "image", "y", "x")}
    variables = {name: (axes.get(name, ("head", "image")), np.stack(values)) for name, values in rows.items()}
    maps = torch.from_numpy(variables["attribution"][1]).flatten(2)
    variables["tie_fraction"] = (("head", "image"), torch.stack([tie_fraction(row) for row in maps]).numpy())
    variables["zero_fraction"] = (("head", "image"), (maps == 0).float().mean(-1).numpy())
    attrs = {name: int(value) if isinstance(value, bool) else value for name, value in entry.semantics.items() if name in _STORED}
    attrs |= {"method": entry.name, "seed": seed, **{f"option_{name}": value for name, value in settings.items()}}
    attrs |= {"needs": ", ".join(entry.semantics["needs"])} if entry.semantics["needs"] else {}
    attrs |= baseline
    return xarray.Dataset(variables, coords={"head": heads, "image": index.cpu().numpy()}, attrs=attrs)


def _baseline_record(baseline: Tensor | None, fill: Fill | None) -> dict[str, Any]:
    if baseline is None or fill is None:
        return {"baseline": "none"}
    digest = hashlib.sha256(baseline.cpu().contiguous().numpy().tobytes()).hexdigest()
    return {"baseline": fill.name, "baseline_shape": list(baseline.shape), "baseline_sha256": digest}
