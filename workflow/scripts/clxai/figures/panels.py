"""Parts that several figures draw: marks side by side, names of ticks, legends."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.style import title


def offsets(n: int) -> np.ndarray:
    """Return by how much n marks that share a tick are shifted."""
    return (np.arange(n) - (n - 1) / 2) * 0.2


def name_ticks(axis: Axes, names: Sequence[str]) -> None:
    """Name the ticks of the x axis, one for each name."""
    axis.set_xticks(range(len(names)), [title(name) for name in names], rotation=20, ha="right")
    axis.set_xlim(-0.5, len(names) - 0.5)


def legend(figure: Figure, looks: Mapping[str, Mapping[str, object]], names: Sequence[str], line: bool) -> None:
    """Put a legend of these names above a figure, of lines or of marks."""
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
    figure.set_figheight(figure.get_figheight() + 0.16 * ((len(names) - 1) // 7))  # a line of names more each
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(names), 7))
