"""Run one method for all heads of a model and keep what was computed together with what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor
from tqdm import tqdm

from clxai.amortising.explainers import Explainers, asked
from clxai.attribution.base import METHODS, Explanation, Pool, Problem, layer_name
from clxai.attribution.baselines import Baseline, drawn, filled
from clxai.attribution.checking import check_finite, checked_maps
from clxai.attribution.costing import counted_products, of_one_pass
from clxai.attribution.given import INHERITED, needed_maps, pools, provenance
from clxai.attribution.truth import truth_of
from clxai.errors import ClxaiError
from clxai.fills.base import fill_of
from clxai.fills.baselines import PREVIEW, PREVIEW_AXES, Digest, baseline_record
from clxai.heads.base import Head, log_odds
from clxai.mask_bank.game import MaskBank, banks_of
from clxai.mask_bank.removing import Removal
from clxai.registry import Entry
from clxai.runs import Run
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once
from clxai.units.removal import tie_fraction

COST = "forward_equivalents"  # of a map, an image, those of the mask bank that it is made from among them
# Keywords of a method that are stored beside its maps.
_STORED = (
    *("families", "payload", "aligned_to", "scope", "scope_defined_by", "signed", "seeding", "per_head", "complete", "reduction"),
)


@dataclass(frozen=True)
class _Task:
    """What is run: a method, its settings, its baseline, how it removes units, what it runs."""

    entry: Entry
    settings: Mapping[str, Any]
    baseline: Baseline | None
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
    explainers: Explainers | None = None,
) -> xarray.Dataset:
    """Explain the log-odds of every head on the run's images and return [head, image, y, x] with its record.

    The method is a registered one by its name, or one that need not be registered. A method that does not depend on the head is
    computed once and repeated. Values that are not finite stay in the file: the flipping engine ranks such maps at random and
    counts them. `maps` are what this function returned for the methods that this one needs, `borrowed` for the one whose maps it
    borrows, `bank` the mask bank that it reads, `explainers` those that it asks.
    """
    entry = METHODS[method_name] if isinstance(method_name, str) else method_name
    needed, task = needed_maps(run, entry, maps or {}), _task(run, entry, options, seed)
    lent, masks = pools(run, entry, task.settings, borrowed), _masks(run, task, bank)
    trained = _explainers(run, task, explainers)
    rows: dict[str, list[np.ndarray]] = {}
    digests = []
    for name, head in tqdm(run.heads.items(), desc=entry.name, unit="head", mininterval=2):
        if rows and not entry.semantics["per_head"]:
            _append(rows, {column: rows[column][-1] for column in ("attribution", COST, *entry.semantics["extras"])})
        else:
            found, digest = _explain_head(run, head, task, needed[name], lent[name], masks[name], trained[name])
            digests.append(digest)
            _append(rows, found)
            check_finite(rows["attribution"][-1], entry.name, name)
        _append(rows, _targets(head, run.embeddings))
    stored = _labelled(rows, list(run.heads), run.index, task)
    stored = _with_baseline(stored, task, digests, bank, explainers).assign_attrs(provenance(run, entry, task.settings, borrowed))
    return stored if run.evidence is None else stored.assign(_truth(stored, run.evidence))


def _truth(found: xarray.Dataset, evidence: Tensor) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return how much of each map lies where the evidence is, as variables over head and image, or image."""
    numbers = truth_of(torch.from_numpy(found["attribution"].values), evidence.cpu())
    return {name: (("head", "image")[-values.ndim :], values.float().numpy()) for name, values in numbers.items()}


def _task(run: Run, entry: Entry, options: Mapping[str, Any], seed: int) -> _Task:
    """Settle options, layer and baseline of a method; one that runs another takes the baseline of that."""
    settings = entry.options(options, image_size=min(run.shape), training_images=len(run.data.indices("train")))
    if "layer" in settings:
        settings["layer"] = layer_name(run.encoder, settings["layer"])  # the record shall name it
    if entry.semantics["borrows"] == "method":
        named = settings["of"] if isinstance(settings["of"], Mapping) else {"method": settings["of"], "options": {}}
        other = _task(run, METHODS[named["method"]], named["options"], seed)
        settings["of"] = named.get("name", named["method"])
        return _Task(entry, settings, other.baseline, seed, other, other.removal)
    baseline = _baseline(run, entry, settings, seed)
    return _Task(entry, settings, baseline, seed, None, _removal(settings, seed) if entry.semantics["removes"] else None)


def _baseline(run: Run, entry: Entry, settings: dict[str, Any], seed: int) -> Baseline | None:
    """Return the baseline of a method, whose fill is taken out of the settings; None if it needs none."""
    if entry.semantics["baseline_cardinality"] == "set":
        return drawn(run, settings["references"], seed)
    mode = settings.pop("baseline", entry.semantics["baseline"])
    return None if mode is None else filled(run, fill_of(mode), seed)


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


def _explainers(run: Run, task: _Task, explainers: Explainers | None) -> dict[str, Explainers | None]:
    """Return the explainers for each head for a method that asks such, or that runs one that does; None for the others."""
    asking = [one.entry.name for one in (task, task.other) if one is not None and one.entry.semantics["learns"]]
    return asked(run, explainers, asking[0]) if asking else dict.fromkeys(run.heads)


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
    task: _Task,
    maps: Mapping[str, Tensor],
    pool: Pool | None,
    masks: MaskBank | None,
    trained: Explainers | None,
) -> tuple[dict[str, np.ndarray], Digest]:
    """Explain one head batch by batch; each batch freezes its own neighbours. Return also the digest of the baselines."""
    images, embeddings, target = run.images, run.embeddings, head.predict(run.embeddings)
    evidence, baseline, other, digest = run.evidence, task.baseline, task.other, Digest()

    def explained(rows: Tensor) -> Explanation:
        nonlocal digest
        problem = Problem(
            encoder=run.encoder,
            checkpoint=run.checkpoint,
            head=head,
            frozen=head.freeze(embeddings[rows]),
            images=images[rows],
            index=run.index[rows],
            target=target[rows],
            baseline=None if baseline is None else baseline.of(rows),
            seed=task.seed,
            maps={name: values[rows] for name, values in maps.items()},
            evidence=None if evidence is None else evidence[rows],
            pool=pool,
            removal=task.removal,
            masks=None if masks is None else masks.at(rows),
            explainers=trained,
            other=None if other is None else lambda given: _maps_of(other, given),
        )
        handed = digest if baseline is None else baseline.after(digest, problem.baseline, rows)
        found = task.entry.definition(problem, task.settings)
        own = checked_maps(task.entry, found, problem.images.shape)
        digest = handed  # a batch that did not fit into the memory is not counted
        return replace(found, maps=own[:, None])

    rows = torch.arange(len(images), device=images.device)
    with counted_products() as counted:
        parts = in_chunks(explained, rows, at_once("explained", images.shape), task.entry.name)
    passes = counted.total / (of_one_pass(run.encoder) * len(images)) + (0 if masks is None else masks.packed.shape[1])
    values = {name: torch.cat([part.extras[name] for part in parts]) for name in task.entry.semantics["extras"]}
    values["attribution"] = torch.cat([part.maps[:, 0] for part in parts])
    stored = {name: value.float().cpu().numpy() for name, value in values.items()}
    return {**stored, COST: np.float32(passes)}, digest


def _maps_of(task: _Task, problem: Problem) -> Tensor:
    """Return the maps [image, y, x] of the method that another one runs."""
    return checked_maps(task.entry, task.entry.definition(problem, task.settings), problem.images.shape)


def _labelled(rows: Mapping[str, Sequence[np.ndarray]], heads: list[str], index: Tensor, task: _Task) -> xarray.Dataset:
    """Return what was computed by its axes, with how many values tie or are 0, and what is stored of the method."""
    extras = task.entry.semantics["extras"]
    axes = {"attribution": ("head", "image", "y", "x"), COST: ("head",)}
    axes |= {name: ("head", *extra["axes"]) for name, extra in extras.items()}
    variables = {name: (axes.get(name, ("head", "image")), np.stack(values)) for name, values in rows.items()}
    maps = torch.from_numpy(variables["attribution"][1]).flatten(2)
    variables["tie_fraction"] = (("head", "image"), torch.stack([tie_fraction(row) for row in maps]).numpy())
    variables["zero_fraction"] = (("head", "image"), (maps == 0).float().mean(-1).numpy())
    named = xarray.Dataset(variables, coords={"head": heads, "image": index.cpu().numpy()}, attrs=_record(task))
    for name, unit in {"log_odds": "nat", **{name: extra["unit"] for name, extra in extras.items()}}.items():
        named[name].attrs["units"] = unit
    return named


def _with_baseline(
    stored: xarray.Dataset,
    task: _Task,
    digests: Sequence[Digest],
    bank: xarray.Dataset | None,
    explainers: Explainers | None,
) -> xarray.Dataset:
    """Return the maps with the record and the preview of what stood for nothing: a baseline, or that of a mask bank.

    Raises ClxaiError if the heads were not handed the same.
    """
    if explainers is not None:
        return stored.assign_attrs(explainers.baseline).assign({PREVIEW: (PREVIEW_AXES, explainers.preview)})
    if bank is not None:
        record = {name: value for name, value in bank.attrs.items() if name.startswith("baseline")}
        return stored.assign_attrs(record).assign({PREVIEW: bank[PREVIEW]})
    if task.baseline is None:
        return stored.assign_attrs(baseline="none")
    if len({digest.sha256 for digest in digests}) > 1:
        raise ClxaiError(f"method {task.entry.name!r}: heads were handed different baselines")
    own = task.baseline
    record = baseline_record(own.mode, digests[0], own.cardinality, own.source, own.index)
    return stored.assign_attrs(record).assign({PREVIEW: (PREVIEW_AXES, own.shown)})


def _record(task: _Task) -> dict[str, Any]:
    """Return what is stored of a method and its settings; those without a value are left out."""
    entry, needs = task.entry, task.entry.semantics["needs"]
    record = {name: entry.semantics[name] for name in _STORED} | {"method": entry.name, "seed": task.seed}
    record |= {f"option_{name}": value for name, value in task.settings.items() if value is not None}
    record |= {"needs": ", ".join(needs)} if needs else {}
    record["extras"] = "; ".join(
        f"{name} [{', '.join(of['axes'])}] {of['unit']}" for name, of in entry.semantics["extras"].items()
    )
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
