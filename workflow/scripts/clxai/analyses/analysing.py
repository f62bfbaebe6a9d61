"""Run one analysis on a trained run and keep what it found together with what it means."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray
from torch import Tensor

from clxai.analyses.base import ANALYSES, Payload, View
from clxai.attribution.base import layer_name
from clxai.errors import ClxaiError, unknown_name
from clxai.fills.base import Fill, fill_of
from clxai.heads.base import Head
from clxai.networks.base import NETWORKS
from clxai.networks.geometry import LAST
from clxai.registry import Entry
from clxai.runs import Run

_STORED = ("payload", "scope", "seeding")
_COUNTED = ("channel", "feature", "y", "x")  # axes without labels of their own
NOT_AFFINE = "its classes do not meet in planes: there is no closed form"


def analyse(run: Run, analysis: str | Entry, options: Mapping[str, Any], seed: int) -> xarray.Dataset:
    """Return what an analysis finds of a run that looks at the images of a sample, by its declared axes, with its record.

    The analysis is a registered one by its name, or one that need not be registered. Heads that it cannot serve are left out, and
    the record says why. Raises ClxaiError if it can serve none, or if it returns other numbers or axes than it declares.
    """
    entry = ANALYSES[analysis] if isinstance(analysis, str) else analysis
    settings = entry.options(options, training_images=len(run.data.indices("train")), image_size=min(run.shape))
    view, record = _view(run, entry, settings, seed)
    payload = entry.definition(view, settings)
    _check_names(payload, entry)
    return _labelled(payload, entry, view).assign_attrs(record)


def _view(run: Run, entry: Entry, settings: dict[str, Any], seed: int) -> tuple[View, dict[str, Any]]:
    """Return what the analysis is given, layers and fill of its settings resolved in place, and what is recorded of all that."""
    able, left_out = _able(run.heads, entry)
    if left_out:
        print(f"{entry.name}: left out: {', '.join(f'{name} ({why})' for name, why in left_out.items())}", flush=True)
    _resolve_layers(run, settings)
    fill, fill_seed = _filling(entry, settings, seed)
    record = {"analysis": entry.name, "seed": seed, "families": ", ".join(entry.semantics["families"])}
    record |= {name: entry.semantics[name] for name in _STORED}
    record |= {f"option_{name}": _plain(value) for name, value in settings.items() if value is not None}
    return View(run, able, seed, fill, fill_seed), record | ({"left_out": json.dumps(left_out)} if left_out else {})


def _resolve_layers(run: Run, settings: dict[str, Any]) -> None:
    """Put the names of layers in place of what the options say: `last`, or no layers for all."""
    if "layer" in settings:
        settings["layer"] = layer_name(run.encoder, settings["layer"])
    if "layers" in settings:
        declared = NETWORKS[run.encoder.architecture.network].semantics["layers"]
        settings["layers"] = [layer_name(run.encoder, name) for name in settings["layers"] or declared or [LAST]]


def _filling(entry: Entry, settings: dict[str, Any], seed: int) -> tuple[Fill | None, int]:
    """Return the fill of an analysis with its seed, of which the settings keep the name. Raises ClxaiError if it needs one."""
    if "fill" not in settings:
        return None, seed
    given = settings["fill"]
    if given is None:
        raise ClxaiError(f"analysis {entry.name!r} needs the option 'fill': a name, or {{name, fill, options}}. Got nothing")
    fill = fill_of(given)
    settings["fill"] = fill.name
    return fill, seed if isinstance(given, str) else given.get("seed", seed)


def _able(heads: Mapping[str, Head], entry: Entry) -> tuple[dict[str, Head], dict[str, str]]:
    """Return the heads that an analysis can serve, and why it cannot serve the others."""
    if not entry.semantics["needs_affine"]:
        return dict(heads), {}
    able = {name: head for name, head in heads.items() if is_affine(head)}
    left_out = {name: NOT_AFFINE for name in heads if name not in able}
    if not able:
        raise ClxaiError(f"analysis {entry.name!r} can serve none of the heads {', '.join(heads)}: {NOT_AFFINE}")
    return able, left_out


def is_affine(head: Head) -> bool:
    """Say whether a head gives the planes in which its classes meet."""
    return type(head).planes is not Head.planes


def _plain(value: Any) -> Any:
    """Return an option as an attribute of a file can hold it."""
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)


def _check_names(payload: Payload, entry: Entry) -> None:
    """Raise ClxaiError unless all numbers that are declared come back, and no others."""
    declared, found = set(entry.semantics["gives"]), set(payload.values)
    for name in sorted(found - declared):
        raise ClxaiError(f"analysis {entry.name!r} returns what it does not declare: {unknown_name('number', name, declared)}")
    for name in sorted(declared - found):
        raise ClxaiError(
            f"analysis {entry.name!r} declares {name!r} and does not return it. Returned: {', '.join(sorted(found))}"
        )


def _labelled(payload: Payload, entry: Entry, view: View) -> xarray.Dataset:
    """Return the numbers with their axes and units. Raises ClxaiError if the size of one is not that of its axes."""
    coordinates = {
        "head": list(view.heads),
        "image": view.run.index.cpu().numpy(),
        "class": np.arange(view.run.data.n_classes),
        **payload.coordinates,
    }
    variables = {}
    for name, given in entry.semantics["gives"].items():
        values = _array(payload.values[name])
        _check_axes(values, given["axes"], coordinates, f"analysis {entry.name!r}: {name}")
        attrs = {"units": given["unit"], "shown": given.get("shown", "mean")}
        variables[name] = (tuple(given["axes"]), values, attrs)
    used = {axis for dims, _, _ in variables.values() for axis in dims} - {*_COUNTED}
    return xarray.Dataset(variables, coords={axis: list(coordinates[axis]) for axis in sorted(used)})


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    """Return numbers in main memory, float32, or int32 for whole ones."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int32)


def _check_axes(values: np.ndarray, axes: tuple[str, ...], coordinates: Mapping[str, Any], where: str) -> None:
    expected = [len(coordinates[axis]) if axis in coordinates else None for axis in axes]
    unlabelled = [axis for axis, size in zip(axes, expected, strict=True) if size is None and axis not in _COUNTED]
    if unlabelled:
        raise ClxaiError(f"{where}: no labels are given for the axis {unlabelled[0]!r}")
    fits = values.ndim == len(axes) and all(size in (None, found) for size, found in zip(expected, values.shape, strict=True))
    if not fits or np.isinf(values).any():
        raise ClxaiError(f"{where}: expected finite numbers or NaN over {', '.join(axes)}, {expected}. Got {list(values.shape)}")
