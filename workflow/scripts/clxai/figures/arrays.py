"""Figures drawn from arrays: trajectories through the embedding plane, and the gallery of maps."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from sklearn.decomposition import PCA

from clxai.data.datasets import ImageData
from clxai.figures.style import PAGE_WIDTH, title

MOST_PATHS = 4  # more cannot be told apart
TITLE_WIDTH = 9  # letters over a column of the gallery
_DASHES = ("-", "--", "-.", ":")


def plot_trajectories(
    data: ImageData,
    embeddings: Mapping[str, ndarray],
    curves: Mapping[tuple[str, str], xarray.Dataset],
    methods: Sequence[str],
    head: str,
    fill: str,
) -> Figure:
    """Paths of a few images through the plane of the two first principal components of the training bank, MoRF.

    Rows are methods, columns models; `curves` by (model, method) explain `head`; at most four images, of different classes. Grey
    points are the training embeddings, with their classes' names. A circle is the clean image, a cross the image with every unit
    removed.
    """
    models = list(embeddings)
    figure, axes = plt.subplots(
        len(methods), len(models), figsize=(PAGE_WIDTH, 2.25 * len(methods) + 0.5), squeeze=False, sharex="col", sharey="col"
    )
    train = data.indices("train")
    for column, model in enumerate(models):
        plane = PCA(2, random_state=0).fit(embeddings[model][train])
        background = plane.transform(embeddings[model][train])
        share = 100 * plane.explained_variance_ratio_
        for row, method in enumerate(methods):
            axis = axes[row, column]
            _draw_bank(axis, background, data.labels[train], data.class_names)
            chosen = curves[model, method].sel(explained_by=head, fill=fill, order="morf")
            paths = chosen["trajectory_embedding"].transpose("trajectory", "step", "feature").values
            shown = one_per_class(data.labels[chosen["trajectory"].values], MOST_PATHS)
            for number, place in enumerate(shown):
                _draw_path(axis, plane.transform(paths[place]), _DASHES[number], sns.color_palette("colorblind")[number])
            axis.grid(False)
            if row == 0:
                axis.set_title(title(model))
            if row == len(methods) - 1:
                axis.set_xlabel(f"PC 1 ({share[0]:.0f} %)")
            axis.set_ylabel(f"{title(method)}\nPC 2 ({share[1]:.0f} %)" if column == 0 else f"PC 2 ({share[1]:.0f} %)")
    return figure


def _draw_bank(axis: Axes, points: ndarray, labels: ndarray, class_names: Sequence[str]) -> None:
    """Scatter the bank in grey and write each class's name at its median: colours are left for the paths."""
    axis.scatter(*points.T, color="0.72", s=3, alpha=0.5, lw=0, rasterized=True)
    if len(class_names) <= 20:
        for label, name in enumerate(class_names):
            place = np.median(points[labels == label], axis=0)
            axis.text(*place, name, size=8, ha="center", va="center", color="0.15", weight="bold")


def _draw_path(axis: Axes, path: ndarray, dash: str, colour: tuple[float, float, float]) -> None:
    axis.plot(*path.T, color="white", lw=2.4)
    axis.plot(*path.T, color=colour, lw=1.2, ls=dash, marker=".", ms=3.5)
    axis.plot(*path[0], "o", color=colour, ms=6, mfc="white", mew=1.5)
    axis.plot(*path[-1], "X", color="black", ms=6, mew=0.5, mec="white")


def plot_gallery(data: ImageData, maps: Mapping[str, xarray.Dataset], n_images: int) -> Figure:
    """Images by methods by heads of one model: each row an image and a head, each column a method.

    Signed maps are red for evidence for the target and blue against it, scaled to their largest magnitude; the others run
    from white to dark. Of images with other than one or three channels the mean over channels is shown, as the column's title
    says. The predicted class is in the row's name; the true one differs where it is given in brackets.
    """
    heads = next(iter(maps.values()))["head"].values.tolist()
    chosen = one_per_class(data.labels[next(iter(maps.values()))["image"].values], n_images)
    shape = (len(chosen) * len(heads), len(maps) + 1)
    cell = PAGE_WIDTH / (shape[1] + 1.2)
    figure, axes = plt.subplots(*shape, figsize=(PAGE_WIDTH, cell * shape[0] * 1.06 + 0.3), squeeze=False)
    figure.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0.02, hspace=0.02)
    for number, place in enumerate(chosen):
        for position, head in enumerate(heads):
            row = axes[number * len(heads) + position]
            _draw_row(row, data, maps, head, place)
            if number == 0 and position == 0:
                for axis, name in zip(row, [_image_title(data.images.shape[1]), *map(title, maps)], strict=True):
                    axis.set_title(textwrap.fill(name, TITLE_WIDTH), size=7)
    return figure


def _image_title(n_channels: int) -> str:
    return "image" if n_channels in (1, 3) else f"mean of {n_channels} channels"


def _draw_row(row: ndarray, data: ImageData, maps: Mapping[str, xarray.Dataset], head: str, place: int) -> None:
    first = next(iter(maps.values()))
    index, target = int(first["image"][place]), int(first["target"].sel(head=head)[place])
    row[0].imshow(displayable(data.images[index]), cmap="gray", vmin=0, vmax=255)
    truth = data.class_names[data.labels[index]]
    name = data.class_names[target] if target == data.labels[index] else f"{data.class_names[target]} [{truth}]"
    row[0].set_ylabel(f"{title(head)}\n{name}", size=6, rotation=0, ha="right", va="center")
    for axis, dataset in zip(row[1:], maps.values(), strict=True):
        values = dataset["attribution"].sel(head=head)[place].values
        limit = max(float(np.nanmax(np.abs(values))), 1e-12)
        if dataset.attrs["signed"]:
            axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        else:
            axis.imshow(values, cmap="Greys", vmin=0, vmax=limit)
    for axis in row:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        plt.setp(axis.spines.values(), color="0.7", lw=0.4)


def displayable(pixels: ndarray) -> ndarray:
    """Return an image uint8 [channel, y, x] as it can be shown: three channels as colours, else their mean [y, x] as grey."""
    return pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels.mean(axis=0)


def one_per_class(labels: ndarray, n_images: int) -> list[int]:
    """Return the positions of the first image of each of the first `n_images` classes (fewer if there are fewer classes)."""
    return [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:n_images]]
