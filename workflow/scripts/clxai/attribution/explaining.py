"""Run one method for all heads of a model and keep what was computed together with what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor
from tqdm import tqdm

from clxai.attribution.base import METHODS, REDUCTIONS, Explanation, Pool, Problem, layer_name
from clxai.attribution.given import INHERITED, needed_maps, pools, provenance
from clxai.attribution.truth import truth_of
from clxai.errors import ClxaiError
from clxai.fills.base import Fill, fill_images, fill_of
from clxai.heads.base import Head, log_odds
from clxai.mask_bank.game import MaskBank, banks_of
from clxai.mask_bank.removing import Removal, baseline_record
from clxai.registry import Entry
from clxai.runs import Run
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once
from clxai.units.removal import tie_fraction

OF_BANK = ("baseline", "baseline_shape", "baseline_sha256")  # what a method that reads a mask bank has of it
# Keywords of a method that are stored beside its maps.
_STORED = (
    *("families", "payload", "aligned_to", "scope", "scope_defined_by", "signed", "seeding", "per_head", "complete", "reduction"),
)


@dataclass(frozen=True)
class _Task:
    """What is run: a method, its settings, its normalised baseline [image, channel, y, x], how it removes units, what it runs."""

    entry: Entry
    settings: Mapping[str, Any]
    fill: Fill | None
    baseline: Tensor | None
    seed: int
    other: "_Task | None" = None
    removal: Removal | None = None


def explain(
    run: Run,
    method_name: str | Entry,
    options: Mapping[str, Any],
    seed: int,
    maps: Mapping[str, xarray.Dataset] | None = None,
    borrowed: xarray.Dataset | None = None,
    bank: xarray.Dataset | None = None,
) -> xarray.Dataset:
    """Explain the log-odds of every head on the run's images and return [head, image, y, x] with its record.

    The method is a registered one by its name, or one that need not be registered. A method that does not depend on the head is
    computed once and repeated. Values that are not finite stay in the file: the flipping engine ranks such maps at random and
    counts them. `maps` are what this function returned for the methods that this one needs, `borrowed` for the one whose maps it
    borrows, `bank` the mask bank that it reads.
    """
    entry = METHODS[method_name] if isinstance(method_name, str) else method_name
    needed, task = needed_maps(run, entry, maps or {}), _task(run, entry, options, seed)
    lent, masks = pools(run, entry, task.settings, borrowed), _masks(run, task, bank)
    rows: dict[str, list[np.ndarray]] = {}
    for name, head in tqdm(run.heads.items(), desc=entry.name, unit="head", mininterval=2):
        if rows and not entry.semantics["per_head"]:
            _append(rows, {column: rows[column][-1] for column in ("attribution", *entry.semantics["extras"])})
        else:
            _append(rows, _explain_head(run, head, task, needed[name], lent[name], masks[name]))
            check_map(rows["attribution"][-1], entry.name, name)
        _append(rows, _targets(head, run.embeddings))
    found = _labelled(rows, list(run.heads), run.index, task, provenance(run, entry, task.settings, borrowed))
    if bank is not None:
        found = found.assign_attrs({name: bank.attrs[name] for name in OF_BANK})
    return found if run.evidence is None else found.assign(_truth(found, run.evidence))


def _truth(found: xarray.Dataset, evidence: Tensor) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return how much of each map lies where the evidence is, as variables over head and image, or image."""
    numbers = truth_of(torch.from_numpy(found["attribution"].values), evidence.cpu())
    return {name: (("head", "image")[-values.ndim :], values.float().numpy()) for name, values in numbers.items()}


def _task(run: Run, entry: Entry, options: Mapping[str, Any], seed: int) -> _Task:
    """Settle options, layer and baseline of a method; one that runs another takes the baseline of that."""
    settings = entry.options(options, image_size=min(run.shape))
    if "layer" in settings:
        settings["layer"] = layer_name(run.encoder, settings["layer"])  # the record shall name it
    if entry.semantics["borrows"] == "method":
        named = settings["of"] if isinstance(settings["of"], Mapping) else {"method": settings["of"], "options": {}}
        other = _task(run, METHODS[named["method"]], named["options"], seed)
        settings["of"] = named.get("name", named["method"])
        return _Task(entry, settings, other.fill, other.baseline, seed, other, other.removal)
    mode = settings.pop("baseline", entry.semantics["baseline"])
    fill = None if mode is None else fill_of(mode)
    baseline = None if fill is None else _baseline(run, fill, seed)
    return _Task(entry, settings, fill, baseline, seed, None, _removal(settings, seed) if entry.semantics["removes"] else None)


def _removal(settings: dict[str, Any], seed: int) -> Removal:
    """Return how a method removes units, by its options `units` and `fill`, of which the settings keep the names.

    Raises ClxaiError if one is not given: planning fills in those of the study.
    """
    units, fill = settings["units"], settings["fill"]
    for key, given in (("units", units), ("fill", fill)):
        if given is None:
            raise ClxaiError(f"a method that removes units needs the option {key!r}: {{name, {key}, options}}. Got nothing")
    settings |= {"units": units["name"], "fill": fill["name"]}
    return Removal(units["units"], units["options"], fill_of(fill), fill.get("seed", seed))


def _masks(run: Run, task: _Task, bank: xarray.Dataset | None) -> dict[str, MaskBank | None]:
    """Return the mask bank of each head for a method that reads one, or that runs one that does; None for the others."""
    entries = [one.entry for one in (task, task.other) if one is not None]
    reading = [entry.name for entry in entries if entry.semantics["reads_masks"] != "nothing"]
    return banks_of(run, bank, reading[0]) if reading else dict.fromkeys(run.heads)


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
    run: Run, head: Head, task: _Task, maps: Mapping[str, Tensor], pool: Pool | None, masks: MaskBank | None
) -> dict[str, np.ndarray]:
    """Explain one head batch by batch; each batch freezes its own neighbours."""
    images, embeddings, target = run.images, run.embeddings, head.predict(run.embeddings)
    evidence, other, semantics = run.evidence, task.other, task.entry.semantics

    def explained(rows: Tensor) -> Explanation:
        problem = Problem(
            encoder=run.encoder,
            checkpoint=run.checkpoint,
            head=head,
            frozen=head.freeze(embeddings[rows]),
            images=images[rows],
            index=run.index[rows],
            target=target[rows],
            baseline=None if task.baseline is None else task.baseline[rows],
            seed=task.seed,
            maps={name: values[rows] for name, values in maps.items()},
            evidence=None if evidence is None else evidence[rows],
            pool=pool,
            removal=task.removal,
            masks=None if masks is None else masks.at(rows),
            other=None if other is None else lambda given: _reduced(other.entry, other.entry.definition(given, other.settings)),
        )
        return task.entry.definition(problem, task.settings)

    rows = torch.arange(len(images), device=images.device)
    parts = in_chunks(explained, rows, at_once("explained", images.shape), task.entry.name)
    found = torch.cat([_reduced(task.entry, part) for part in parts])
    values = {name: torch.cat([part.extras[name] for part in parts]) for name in semantics["extras"]}
    return {name: value.float().cpu().numpy() for name, value in {"attribution": found, **values}.items()}


def _reduced(entry: Entry, explanation: Explanation) -> Tensor:
    """Return maps [image, y, x]."""
    return REDUCTIONS[entry.semantics["reduction"]](explanation.maps)


def _baseline(run: Run, fill: Fill, seed: int) -> Tensor:
    return run.encoder.normalise(fill_images(fill, run.images, run.encoder.mean, run.index, seed))


def _labelled(
    rows: Mapping[str, Sequence[np.ndarray]], heads: list[str], index: Tensor, task: _Task, borrowed: Mapping[str, Any]
) -> xarray.Dataset:
    axes = {"attribution": ("head", "image", "y", "x")}
    variables = {name: (axes.get(name, ("head", "image")), np.stack(values)) for name, values in rows.items()}
    maps = torch.from_numpy(variables["attribution"][1]).flatten(2)
    variables["tie_fraction"] = (("head", "image"), torch.stack([tie_fraction(row) for row in maps]).numpy())
    variables["zero_fraction"] = (("head", "image"), (maps == 0).float().mean(-1).numpy())
    attrs = _record(task) | dict(borrowed) | _baseline_of(task)
    return xarray.Dataset(variables, coords={"head": heads, "image": index.cpu().numpy()}, attrs=attrs)


def _baseline_of(task: _Task) -> dict[str, Any]:
    if task.baseline is None or task.fill is None:
        return {"baseline": "none"}
    return baseline_record(task.fill.name, task.baseline)


def _record(task: _Task) -> dict[str, Any]:
    """Return what is stored of a method and its settings; those without a value are left out."""
    entry, needs = task.entry, task.entry.semantics["needs"]
    record = {name: entry.semantics[name] for name in _STORED} | {"method": entry.name, "seed": task.seed}
    record |= {f"option_{name}": value for name, value in task.settings.items() if value is not None}
    record |= {"needs": ", ".join(needs)} if needs else {}
    if task.other is not None:
        other = _record(task.other)
        record |= {name: other[name] for name in INHERITED} | {"borrowed_method": other["method"]}
        record |= {f"borrowed_{name}": value for name, value in other.items() if name.startswith("option_")}
    return {name: _plain(value) for name, value in record.items()}


def _plain(value: Any) -> Any:
    """Return a value as an attribute of a NetCDF file: flags as 0 or 1, several words as one text."""
    if isinstance(value, bool):
        return int(value)
    return ", ".join(value) if isinstance(value, tuple) and all(isinstance(word, str) for word in value) else value
