"""Paths of images through the plane of the training embeddings."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from sklearn.decomposition import PCA

from clxai.data.datasets import ImageData
from clxai.figures.arrays import curves_of, embeddings_of, image_data, one_per_class
from clxai.figures.base import Study, figure
from clxai.figures.style import COLOURS, PAGE_WIDTH, title
from clxai.names import REFERENCE

_ABREAST = 4  # models in one line
MOST_PATHS = 4  # more cannot be told apart
_DASHES = ("-", "--", "-.", ":")


@figure(
    "trajectories",
    arrays=["images", "embeddings", "curves"],
    subcategory="Pictures",
    payloads=["attributions"],
    produces="local",
    scope_defined_by="explainer",
    options={"method": None},
)
def trajectories(study: Study, method: str | None) -> Figure:
    """Paths of up to four images of different classes through the plane of the first two principal components of the training
    embeddings (grey; the names stand at the classes' medians; first seed), as units are removed, most important first. Rows:
    attribution methods. Circle: clean image; cross: every unit removed, which is one and the same image for the fills mean
    and zero. Distances in the plane understate those in the full space.
    """
    methods = shown_methods(study, method)
    curves = curves_of(study, methods)
    return draw_paths(image_data(study), embeddings_of(study), curves, methods, study.shared_heads[0], study.fill)


def shown_methods(study: Study, chosen: str | None) -> list[str]:
    """Return the chosen method, else the first that is no control, and the reference.

    Without either it is the first other control; a study of the reference alone shows that alone.
    """
    others = [name for name in study.methods if name != REFERENCE]
    own = [name for name in others if name not in study.controls]
    first = next(iter([chosen] if chosen else [*own, *others]), REFERENCE)
    return [first] if first == REFERENCE or REFERENCE not in study.methods else [first, REFERENCE]


def draw_paths(
    data: ImageData,
    embeddings: Mapping[str, ndarray],
    curves: Mapping[tuple[str, str], xarray.Dataset],
    methods: Sequence[str],
    head: str,
    fill: str,
) -> Figure:
    """Draw the first images of each class, MoRF: rows are methods, columns models, of which more than fit go below.

    `curves` by (model, method) explain `head`.
    """
    models, train = list(embeddings), data.indices("train")
    lines, columns = -(-len(models) // _ABREAST), min(len(models), _ABREAST)
    size = (PAGE_WIDTH, 2.25 * len(methods) * lines + 0.5)
    sheet, axes = plt.subplots(lines * len(methods), columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for place, model in enumerate(models):
        line, column = divmod(place, columns)
        own = axes[line * len(methods) : (line + 1) * len(methods), column]
        plane = PCA(2, random_state=0).fit(embeddings[model][train])
        background = plane.transform(embeddings[model][train])
        for axis, method in zip(own, methods, strict=True):
            axis.set_axis_on()
            _draw_bank(axis, background, data.labels[train], data.class_names)
            if (model, method) in curves:
                chosen = curves[model, method].sel(explained_by=head, fill=fill, order="morf")
                _draw_shown(axis, data, chosen, plane)
        _frame(own, model, methods if column == 0 else [], 100 * plane.explained_variance_ratio_)
    return sheet


def _frame(axes: ndarray, model: str, methods: Sequence[str], share: ndarray) -> None:
    """Name the panels of a model, of which the first column is named by methods, and give them the same range."""
    names = [f"{title(method)}\n" for method in methods] or [""] * len(axes)
    for axis, name in zip(axes, names, strict=True):
        axis.grid(False)
        axis.set_ylabel(f"{name}PC 2 ({share[1]:.0f} %)")
        axis.tick_params(labelbottom=axis is axes[-1])
    for axis in axes[1:]:
        axis.sharex(axes[0])
        axis.sharey(axes[0])
    axes[0].set_title(title(model))
    axes[-1].set_xlabel(f"PC 1 ({share[0]:.0f} %)")


def _draw_shown(axis: Axes, data: ImageData, curves: xarray.Dataset, plane: PCA) -> None:
    """Draw the paths of the first images of each class."""
    paths = curves["trajectory_embedding"].transpose("trajectory", "step", "feature").values
    for number, place in enumerate(one_per_class(data.labels[curves["trajectory"].values], MOST_PATHS)):
        _draw_path(axis, plane.transform(paths[place]), _DASHES[number], COLOURS[number])


def _draw_bank(axis: Axes, points: ndarray, labels: ndarray, class_names: Sequence[str]) -> None:
    """Scatter the bank in grey and write each class's name at its median: colours are left for the paths."""
    axis.scatter(*points.T, color="0.72", s=3, alpha=0.5, lw=0, rasterized=True)
    if len(class_names) <= 20:
        for label, name in enumerate(class_names):
            place = np.median(points[labels == label], axis=0)
            axis.text(*place, name, size=8, ha="center", va="center", color="0.15", weight="bold")


def _draw_path(axis: Axes, path: ndarray, dash: str, colour: str) -> None:
    axis.plot(*path.T, color="white", lw=2.4)
    axis.plot(*path.T, color=colour, lw=1.2, ls=dash, marker=".", ms=3.5)
    axis.plot(*path[0], "o", color=colour, ms=6, mfc="white", mew=1.5)
    axis.plot(*path[-1], "X", color="black", ms=6, mew=0.5, mec="white")
