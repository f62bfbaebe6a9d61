"""From panels to the tables of trust measures and of their differences between models."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clxai.measures.statistics import covers
from clxai.measures.trust.base import TRUST, Method, Panel
from clxai.measures.trust.intervals import Measured, draws_of, measure, summarise
from clxai.measures.trust.panels import of_setup, own_scores, panels_of, with_references
from clxai.names import ALL

PLACE = ("head", "units", "fill")
COLUMNS = (
    *("measure", "part", "model", *PLACE, "value", "ci_low", "ci_high", "null", "better"),
    *("ci_over", "n_seeds", "n_images", "n_methods"),
)
CONTRAST_COLUMNS = (
    *("measure", "part", "model", "minus", *PLACE, "difference", "ci_low", "ci_high", "better"),
    *("ci_over", "n_seeds", "n_images"),
)
Key = tuple[str, str, str, str, str, str]  # measure, part, model, head, units, fill
Found = dict[Key, tuple[Measured, int]]  # what was measured, and the number of methods that were ranked


def assess_study(images: str | Path, settings: Mapping[str, Any]) -> Found:
    """Return all parts of a study's trust measures from its table of images; say in the log what is left out."""
    for one in settings["left_out"]:
        print(f"left out: {one['measure']} needs {one['needs']}: {one['reason']}", flush=True)
    if not settings["measures"]:
        return {}
    methods = [Method(**method) for method in settings["methods"]]
    setups = [(units, fill) for units, fill in settings["setups"]]
    panels = panels_of(own_scores(images, settings["metrics"]), settings["metrics"], methods, setups)
    return assess(dict(with_references(panels, settings["references"])), settings["measures"], setups, settings["seed"])


def assess(
    panels: Mapping[tuple[str, str], Panel],
    measures: Mapping[str, Sequence[Any]],
    setups: Sequence[tuple[str, str]],
    seed: int,
) -> Found:
    """Return all parts of the measures, each a registered one with its options, by name, model, head, units and fill."""
    found: Found = {}
    for name, (member, options) in measures.items():
        entry = TRUST[member]
        function = partial(entry.definition, **entry.options(options))
        for (model, head), panel in panels.items():
            draws = draws_of(panel.n_images, seed, panel.groups)
            for (units, fill), cell in _cells(panel, setups, entry.semantics["across"]):
                for part, measured in measure(function, cell, draws).items():
                    found[name, part, model, head, units, fill] = measured, len(panel.explanations)
        print(f"{name}: {sum(key[0] == name for key in found)} rows", flush=True)
    return found


def _cells(panel: Panel, setups: Sequence[tuple[str, str]], across: bool) -> Iterator[tuple[tuple[str, str], Panel]]:
    """Yield units, fill and panel of each set-up, or that of all."""
    if across:
        yield (ALL, ALL), panel
    else:
        yield from ((setup, of_setup(panel, place, setup)) for place, setup in enumerate(setups))


def trust_table(found: Found, members: Mapping[str, str]) -> pd.DataFrame:
    """Return value and 95 % interval of every part, one row each; `null` is the value of no trust, empty where there is none."""
    rows = []
    for (name, part, model, *place), (measured, n_methods) in found.items():
        semantics = TRUST[members[name]].semantics
        value, low, high = _within(summarise(measured, semantics["log"]), semantics["low"], semantics["high"])
        what = {"measure": name, "part": part, "model": model, **dict(zip(PLACE, place, strict=True))}
        numbers = {"value": value, "ci_low": low, "ci_high": high, "null": semantics["null"], "better": semantics["better"]}
        rows.append({**what, **numbers, **_counts(measured), "n_methods": n_methods})
    return pd.DataFrame(rows, columns=COLUMNS)


def trust_contrast_table(found: Found, members: Mapping[str, str], pairs: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return the difference of each pair of models (first minus second) in each part that both have, paired by seed and image."""
    rows = []
    for first, minus in pairs:
        for (name, part, model, *place), (measured, _) in found.items():
            other = found.get((name, part, minus, *place))
            if model != first or other is None:
                continue
            difference, low, high = summarise(measured - other[0])
            what = {"measure": name, "part": part, "model": first, "minus": minus, **dict(zip(PLACE, place, strict=True))}
            numbers = {
                "difference": difference,
                "ci_low": low,
                "ci_high": high,
                "better": TRUST[members[name]].semantics["better"],
            }
            rows.append({**what, **numbers, **_counts(measured)})
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def left_out_table(left_out: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """Return which measures the study cannot have, and why."""
    return pd.DataFrame(left_out, columns=("measure", "needs", "reason"))


def _within(interval: tuple[float, float, float], low: Real | None, high: Real | None) -> tuple[float, float, float]:
    """Return value and interval, its ends within the range of the measure."""
    value, *ends = interval
    least, most = (-np.inf if low is None else low), (np.inf if high is None else high)
    return value, *(float(np.clip(end, least, most)) for end in ends)


def _counts(measured: Measured) -> dict[str, object]:
    over = covers(float(measured.n_seeds), measured.groups is not None)
    return {"ci_over": over, "n_seeds": measured.n_seeds, "n_images": measured.n_images}
