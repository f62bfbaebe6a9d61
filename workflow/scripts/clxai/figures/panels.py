"""Parts that several figures draw: marks side by side, intervals, names of ticks, legends."""

from collections.abc import Container, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clxai.figures.style import title
from clxai.names import ALL


def offsets(n: int) -> np.ndarray:
    """Return by how much n marks that share a tick are shifted: many stand closer, so that they stay nearer to their own tick."""
    return (np.arange(n) - (n - 1) / 2) * min(0.2, 0.75 / n)


def name_ticks(axis: Axes, names: Sequence[str]) -> None:
    """Name the ticks of the x axis, one for each name."""
    axis.set_xticks(range(len(names)), [title(name) for name in names], rotation=20, ha="right")
    axis.set_xlim(-0.5, len(names) - 0.5)


MATCHED = plt.Line2D([], [], color="0.35", ls="", marker="o", label="filled: baseline is the fill")
BEST_CONTROL = plt.Line2D([], [], color="0.35", ls=(0, (4, 2)), lw=1, label="best control")


def forest(axis: Axes, rows: pd.DataFrame, columns: Sequence[str], places: np.ndarray, look: Mapping[str, object]) -> None:
    """Draw one value with its interval for each row, from three columns, at its place; filled if matched.

    Matched: the baseline of the method is the fill, as the column `baseline_is_fill` says.
    """
    matched = (rows["baseline_is_fill"] == True).to_numpy()  # noqa: E712 (empty for methods without a baseline)
    value, low, high = (rows[name].to_numpy() for name in columns)
    style = {"color": look["color"], "marker": look["marker"], "ls": "", "ms": 4, "lw": 1}
    for chosen, inside in ((matched, look["color"]), (~matched, "none")):
        if chosen.any():
            reach = np.abs([value - low, high - value])[:, chosen]
            axis.errorbar(value[chosen], places[chosen], xerr=reach, mfc=inside, **style)


def name_methods(axis: Axes, methods: Sequence[str], controls: Sequence[str], dotted: Container[str] = ()) -> None:
    """Name the rows of a panel by methods, the controls in grey italics, some with a dot."""
    names = ["all methods" if method == ALL else title(method) for method in methods]
    names = [f"{name} ●" if method in dotted else name for name, method in zip(names, methods, strict=True)]
    axis.set_yticks(range(len(methods)), names)
    for label, method in zip(axis.get_yticklabels(), methods, strict=False):  # inner panels show none
        if method in controls:
            label.set(style="italic", color="0.4")


def legend(
    figure: Figure, looks: Mapping[str, Mapping[str, object]], names: Sequence[str], line: bool, more: Sequence[Line2D] = ()
) -> None:
    """Put a legend of these names above a figure, of lines or of marks, and of some more."""
    handles = [
        plt.Line2D(
            [],
            [],
            color=looks[name]["color"],
            ls=looks[name]["linestyle"] if line else "",
            marker="" if line else looks[name]["marker"],
            mfc="none",
            label=title(name),
        )
        for name in names
    ]
    n_columns = 4 if more else 7
    lines = -(-(len(names) + len(more)) // n_columns)
    figure.set_figheight(figure.get_figheight() + 0.16 * (lines - 1))  # a line of names more each
    figure.legend(handles=[*handles, *more], loc="outside upper center", ncols=min(len(handles) + len(more), n_columns))
