"""How far maps can be trusted by what their methods report besides: completeness, conservation, fit, error of sampling."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from clxai.figures.arrays import maps_of_models
from clxai.figures.base import Study, figure
from clxai.figures.panels import legend
from clxai.figures.style import PAGE_WIDTH, look_of, title

_FEW_DECADES = 20  # between the ends of an axis whose powers of ten alone would not tell where a mark is
_MOST_INCHES = 9.0  # of a page's height, above which one head is shown


class _Panel(NamedTuple):
    """What a number is called, the least that is drawn, and the scale of its axis."""

    label: str
    least: float = -np.inf
    scale: str = "linear"


PANELS: Mapping[str, _Panel] = {
    "completeness_error": _Panel("completeness error, share of |m(x) - m(baseline)| or of the sum of |values|", 1e-6, "log"),
    "conservation_ratio": _Panel("conservation: relevance at the input / at the embedding"),
    "r2_held_out": _Panel("explained variance of held-out masks (at least -1)", -1.0),
    "sampling_error": _Panel("standard error by sampling (log-odds)", 1e-6, "log"),
    "convergence": _Panel("largest standard error by sampling / range of the values", 1e-6, "log"),
}


@figure(
    "quality",
    tables=["checks"],
    arrays=["attributions"],
    payloads=["attributions"],
    extras=["completeness_error", "conservation_ratio", "r2_held_out", "sampling_error", "convergence"],
    produces="aggregated",
    over=["image"],
    options={"head": None},
)
def quality(study: Study, head: str | None) -> Figure:
    """What methods report of their own maps (first seed), by method, head and model: dots are images, open marks their
    median. Dashed: the limits that the self-checks hold medians to, where they do. What is below the axis stands at its end
    (1e-6 on a logarithmic one). A map that breaks its limits is not what the method promises, whatever its SRG. Where all heads
    would not fit a page, the first that all models have is shown.
    """
    maps = maps_of_models(study)
    heads = study.heads if head is None else [head]
    if _height(study, maps, heads) > _MOST_INCHES:
        heads = [*study.shared_heads, *study.heads][:1]
    shown = {name: rows for name in PANELS if (rows := _rows(study, maps, name, heads))}
    if not shown:
        return _nothing()
    heights = [_row_height(study) * len(rows) for rows in shown.values()]
    size = (PAGE_WIDTH, _height(study, maps, heads))
    sheet, axes = plt.subplots(len(shown), 1, figsize=size, height_ratios=heights, squeeze=False)
    for axis, (name, rows) in zip(axes.flat, shown.items(), strict=True):
        _draw(axis, maps, name, rows, study.models)
        _limits(axis, study.tables["checks"], name, rows)
    legend(sheet, look_of(study.models), study.models, line=False)
    return sheet


def _row_height(study: Study) -> float:
    """Return the height in inches of a row of dots for each model."""
    return max(0.16, 0.075 * len(study.models))


def _height(study: Study, maps: Mapping[tuple[str, str], xarray.Dataset], heads: Sequence[str]) -> float:
    """Return the height in inches of the figure of these heads."""
    rows = [len(_rows(study, maps, name, heads)) for name in PANELS]
    return _row_height(study) * sum(rows) + 0.55 * sum(map(bool, rows)) + 0.4


def _nothing() -> Figure:
    sheet, axis = plt.subplots(figsize=(PAGE_WIDTH, 1.2))
    axis.set_axis_off()
    axis.text(0.5, 0.5, "no method of this study reports on its own maps", ha="center", va="center")
    return sheet


def _rows(study: Study, maps: Mapping[tuple[str, str], xarray.Dataset], name: str, heads: Sequence[str]) -> list[tuple[str, str]]:
    """Return the (method, head) pairs that report a number, in the order shown."""
    found = {(method, head) for (_, method), own in maps.items() if name in own for head in own["head"].values.tolist()}
    return [(method, head) for method in study.methods for head in heads if (method, head) in found]


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
            values = np.maximum(values, panel.least)
            if len(values):
                look = {"color": looks[model]["color"], "ls": ""}
                axis.plot(values, np.full(len(values), place + shift), marker=".", ms=3, alpha=0.5, mew=0, **look)
                axis.plot(np.median(values), place + shift, marker=looks[model]["marker"], ms=4, mfc="white", **look)
    axis.set_xscale(panel.scale)
    if panel.scale == "log":
        low, high = axis.get_xlim()
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("{x:g}" if high < _FEW_DECADES * low else NullFormatter())
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
