"""How far maps can be trusted by what their methods report besides: completeness, conservation, fit, error of sampling."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.arrays import maps_of_models
from clxai.figures.base import Study, figure
from clxai.figures.panels import legend
from clxai.figures.style import PAGE_WIDTH, look_of, title

_FLOOR = 1e-6  # on a logarithmic axis: float32 adds up no better


class _Panel(NamedTuple):
    """What a number is called, and the scale of its axis."""

    label: str
    scale: str = "linear"


PANELS: Mapping[str, _Panel] = {
    "completeness_error": _Panel("completeness error, share of |m(x) - m(baseline)| or of the sum of |values|", "log"),
    "conservation_ratio": _Panel("conservation: relevance at the input / at the embedding"),
    "r2_held_out": _Panel("explained variance of held-out masks"),
    "sampling_error": _Panel("standard error of a unit's value (log-odds)", "log"),
    "convergence": _Panel("largest standard error / range of the values", "log"),
}


@figure(
    "quality",
    tables=["checks"],
    arrays=["attributions"],
    payloads=["attributions"],
    extras=["completeness_error", "conservation_ratio", "r2_held_out", "sampling_error", "convergence"],
    produces="aggregated",
    over=["image"],
)
def quality(study: Study) -> Figure:
    """What methods report of their own maps (first seed), by method, head and model: dots are images, open marks their
    median. Dashed: the limits that the self-checks hold medians to, where they do. Numbers below 1e-6 stand at that. A map that
    breaks them is not what the method promises, whatever its SRG.
    """
    maps = maps_of_models(study)
    shown = {name: _rows(study, maps, name) for name in PANELS}
    shown = {name: rows for name, rows in shown.items() if rows}
    if not shown:
        return _nothing()
    models = [model for model in study.models if any(one == model for one, _ in maps)]
    row = max(0.2, 0.075 * len(models))
    heights = [row * len(rows) for rows in shown.values()]
    size = (PAGE_WIDTH, sum(heights) + 0.55 * len(shown) + 0.4)
    sheet, axes = plt.subplots(len(shown), 1, figsize=size, height_ratios=heights, squeeze=False)
    for axis, (name, rows) in zip(axes.flat, shown.items(), strict=True):
        _draw(axis, maps, name, rows, models)
        _limits(axis, study.tables["checks"], name, rows)
    legend(sheet, look_of(models), models, line=False)
    return sheet


def _nothing() -> Figure:
    sheet, axis = plt.subplots(figsize=(PAGE_WIDTH, 1.2))
    axis.set_axis_off()
    axis.text(0.5, 0.5, "no method of this study reports on its own maps", ha="center", va="center")
    return sheet


def _rows(study: Study, maps: Mapping[tuple[str, str], xarray.Dataset], name: str) -> list[tuple[str, str]]:
    """Return the (method, head) pairs that report a number, in the order shown."""
    found = {(method, head) for (_, method), own in maps.items() if name in own for head in own["head"].values.tolist()}
    return [(method, head) for method in study.methods for head in study.heads if (method, head) in found]


def _draw(
    axis: Axes,
    maps: Mapping[tuple[str, str], xarray.Dataset],
    name: str,
    rows: Sequence[tuple[str, str]],
    models: Sequence[str],
) -> None:
    """Draw one number: a row for each method and head, a line of dots for each model."""
    looks, panel = look_of(models), PANELS[name]
    shifts = (np.arange(len(models)) - (len(models) - 1) / 2) * 0.7 / max(len(models), 2)
    for place, (method, head) in enumerate(rows):
        for shift, model in zip(shifts, models, strict=True):
            values = _values(maps.get((model, method)), name, head)
            if panel.scale == "log":
                values = np.maximum(values, _FLOOR)
            if len(values):
                look = {"color": looks[model]["color"], "ls": ""}
                axis.plot(values, np.full(len(values), place + shift), marker=".", ms=3, alpha=0.5, mew=0, **look)
                axis.plot(np.median(values), place + shift, marker=looks[model]["marker"], ms=4, mfc="white", **look)
    axis.set_xscale(panel.scale)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_yticks(range(len(rows)), [f"{title(method)}, {title(head)}" for method, head in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel(panel.label, size=8)


def _values(maps: xarray.Dataset | None, name: str, head: str) -> np.ndarray:
    """Return the finite numbers of the images of one model, method and head; none where it does not report them."""
    if maps is None or name not in maps or head not in maps["head"].values:
        return np.empty(0)
    values = maps[name].sel(head=head).values.ravel()
    return values[np.isfinite(values)]


def _limits(axis: Axes, checks: pd.DataFrame, name: str, rows: Sequence[tuple[str, str]]) -> None:
    """Draw the limits of a number that the self-checks hold it to, over the rows of each method: claims differ by method."""
    own = checks[checks["check"] == name]
    for place, (method, _) in enumerate(rows):
        held = own[own["method"] == method]
        for limit in {*held["low"], *held["high"]}:
            if np.isfinite(limit) and (limit > 0 or axis.get_xscale() == "linear"):
                axis.plot([limit, limit], [place - 0.5, place + 0.5], color="0.35", ls="--", lw=1)
