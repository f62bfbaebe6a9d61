"""The table of methods: what each is, what it was given, how many of its maps say nothing; one row per method of a study."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray

Run = tuple[Mapping[str, Any], xarray.Dataset]
_MEANING = (
    *("families", "payload", "aligned_to", "scope", "scope_defined_by", "signed", "seeding", "per_head", "complete", "reduction"),
)
_BASELINE = (
    "baseline",
    *(f"baseline_{name}" for name in ("cardinality", "space", "shape", "dtype", "source", "images", "sha256")),
)
COLUMNS = (
    *("method", "member", *_MEANING, "options", "borrowed", "extras"),
    *(*_BASELINE, "n_baselines", "n_maps", "n_degenerate", "n_all_zero"),
)
JOINED = " | "  # between values of one method that differ from run to run


def method_table(curves: Iterable[Run], maps: Iterable[Run]) -> pd.DataFrame:
    """Return one row per method, sorted by its name in the study.

    Values that differ between runs are joined, as the digests of baselines that are drawn by seed; `n_baselines` is the number of
    different baselines. `n_maps` counts images and heads of all runs, `n_degenerate` those that some units leave to a random
    order, `n_all_zero` those that are 0 everywhere.
    """
    degenerate = _degenerate(curves)
    by_method: dict[str, list[Run]] = {}
    for run, found in maps:
        by_method.setdefault(str(run["method"]), []).append((run, found))
    rows = [{"method": name, **_row(runs, degenerate)} for name, runs in sorted(by_method.items())]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(runs: Sequence[Run], degenerate: Mapping[tuple[Any, ...], np.ndarray]) -> dict[str, Any]:
    """Return what the files of one method say of it, and counts of its maps."""
    told = [found.attrs for _, found in runs]
    row = {"member": _joined(attrs["method"] for attrs in told)}
    row |= {name: _joined(attrs.get(name) for attrs in told) for name in (*_MEANING, "extras", *_BASELINE)}
    row["options"] = _joined(_options(attrs) for attrs in told)
    row["borrowed"] = _joined(attrs.get("borrowed_method") for attrs in told)
    row["n_baselines"] = len({attrs["baseline_sha256"] for attrs in told if "baseline_sha256" in attrs})
    zeros = [found["zero_fraction"].values == 1 for _, found in runs]
    row |= {"n_maps": sum(zero.size for zero in zeros), "n_all_zero": sum(int(zero.sum()) for zero in zeros)}
    row["n_degenerate"] = sum(int(degenerate[_run_of(run)].sum()) for run, _ in runs)
    return row


def _degenerate(curves: Iterable[Run]) -> dict[tuple[Any, ...], np.ndarray]:
    """Return which maps [head, image] some units leave to a random order, by model, seed and method."""
    found: dict[tuple[Any, ...], np.ndarray] = {}
    for run, curve in curves:
        own = curve["degenerate"].transpose("explained_by", "image").values.astype(bool)
        found[_run_of(run)] = own | found.get(_run_of(run), np.zeros_like(own))
    return found


def _run_of(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return run["model"], run["seed"], run["method"]


def _options(attrs: Mapping[str, Any]) -> str:
    """Return the options that a method ran with, in words."""
    given = {name.removeprefix("option_"): value for name, value in attrs.items() if name.startswith("option_")}
    return ", ".join(f"{name}: {_text(value)}" for name, value in sorted(given.items()))


def _joined(values: Iterable[Any]) -> str:
    """Return a value in words, or all that differ, in the order of the runs."""
    return JOINED.join(dict.fromkeys(_text(value) for value in values))


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray | list | tuple):
        return " ".join(map(str, np.asarray(value).tolist()))
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return "" if value is None else str(value)
