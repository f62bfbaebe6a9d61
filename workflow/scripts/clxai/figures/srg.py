"""SRG of every method, model and head."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.style import PAGE_WIDTH, short, title

_LETTERS = 85  # that fit above all columns
_ROOM = 12  # columns that are wide enough for intervals


@figure(
    "srg",
    tables=["summary"],
    metrics=["srg_matched", "srg_kept"],
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
)
def srg(study: Study) -> Figure:
    """Symmetric relevance gain (insertion minus deletion area) by method, model and head: of the matched probability (top)
    and of kept predictions (bottom), mean over seeds and images, with its 95 % interval where there is room. Below the line:
    controls, which explain nothing; random is 0 in expectation. Boxed: the best control that knows nothing of the network, which
    an explanation has to exceed; bold: surely above it. A dot: the baseline of the method is the fill, {fill}; such methods may
    lead for that reason alone.
    """
    cells, methods = study.cells(study.own("srg_matched")), study.ordered(study.methods)
    roomy = len(cells) <= _ROOM
    size = (PAGE_WIDTH, 2 * ((0.34 if roomy else 0.2) * len(methods) + 0.75))
    sheet, axes = plt.subplots(2, 1, figsize=size, sharex=True)
    for axis, metric, label in zip(
        axes, ("srg_matched", "srg_kept"), ("SRG of the matched probability", "SRG of kept predictions"), strict=True
    ):
        rows = study.own(metric).set_index(["model", "head", "method"])
        grid = rows.reindex(pd.MultiIndex.from_tuples([(*cell, method) for method in methods for cell in cells]))
        mean, low, high, sure = (
            grid[name].to_numpy().reshape(len(methods), len(cells)) for name in ("mean", "ci_low", "ci_high", "excess_best_low")
        )
        words = [
            [f"{short(m)}\n[{short(a)}, {short(b)}]" if roomy else short(m) for m, a, b in zip(*line, strict=True)]
            for line in zip(mean, low, high, strict=True)
        ]
        matched = set(rows.index[rows["baseline_is_fill"] == True].get_level_values("method"))  # noqa: E712 (may be empty)
        _heat(axis, mean, words, [f"{title(method)} ●" if method in matched else title(method) for method in methods])
        for text, above in zip(axis.texts, (sure > 0)[np.isfinite(mean)], strict=True):
            text.set_weight("bold" if above else "normal")
        _box_best(axis, mean, [place for place, method in enumerate(methods) if method in study.blind])
        axis.axhline(sum(method not in study.controls for method in methods), color="black", lw=1, zorder=5)
        axis.set_title(label)
        _separate_models(axis, cells, len(methods))
    axes[-1].set_xticks(np.arange(len(cells)) + 0.5, [title(head) for _, head in cells], rotation=30, ha="right")
    return sheet


def _box_best(axis: Axes, values: np.ndarray, places: Sequence[int]) -> None:
    """Draw a box around the highest number of each column among these rows."""
    for column, own in enumerate(values[list(places)].T):
        if np.isfinite(own).any():
            corner = (column + 0.04, places[int(np.nanargmax(own))] + 0.06)
            axis.add_patch(plt.Rectangle(corner, 0.92, 0.88, fill=False, ec="black", lw=1, zorder=4))


def _separate_models(axis: Axes, cells: Sequence[tuple[str, str]], n_rows: int) -> None:
    """Draw a line between models and name each over its columns."""
    names, lines = [model for model, _ in cells], 1
    for model in dict.fromkeys(names):
        first, count = names.index(model), names.count(model)
        axis.axvline(first, color="white", lw=3)
        words = textwrap.fill(title(model), max(8, round(_LETTERS * count / len(cells))))
        axis.text(first + count / 2, -0.05, words, ha="center", va="bottom", size=8)
        lines = max(lines, words.count("\n") + 1)
    axis.set_title(axis.get_title(), pad=4 + 10 * lines)
    axis.set_ylim(n_rows, 0)


def _heat(axis: Axes, values: np.ndarray, words: Sequence[Sequence[str]], rows: Sequence[str]) -> None:
    limit = max(0.1, float(np.nanmax(np.abs(values))))
    sns.heatmap(
        values,
        ax=axis,
        cmap="vlag",
        vmin=-limit,
        vmax=limit,
        annot=np.array(words),
        fmt="",
        annot_kws={"size": 6.2, "linespacing": 1.05},
        yticklabels=rows,
        xticklabels=False,
        linewidths=0.4,
        cbar_kws={"pad": 0.01, "aspect": 15},
    )
    axis.tick_params(axis="y", rotation=0, length=0)
    axis.tick_params(axis="x", length=0)
    axis.grid(False)
