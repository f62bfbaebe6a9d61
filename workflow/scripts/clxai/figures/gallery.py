"""Maps of a few images by every method and head."""

import textwrap
from collections.abc import Mapping
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import xarray
from matplotlib.figure import Figure
from numpy import ndarray

from clxai.data.datasets import ImageData
from clxai.figures.arrays import image_data, maps_of, one_per_class
from clxai.figures.base import Study, figure
from clxai.figures.style import PAGE_WIDTH, title

TITLE_WIDTH = 9  # letters over a column of the gallery
COLUMNS = 10  # methods side by side; more go below


@figure("gallery", arrays=["images", "attributions"], per="model", subcategory="Pictures", options={"images": 2})
def gallery(study: Study, images: int) -> Figure:
    """Attribution maps of model {model} (first seed): each row an image and the head that is explained, with the class that
    it predicts (and in brackets the true one, where it differs), each column a method. Signed maps are red for and blue
    against the class; the others run from white (none) to dark. Each map has its own scale. Images with other than one or
    three channels are shown as their mean over channels.
    """
    return draw_maps(image_data(study), maps_of(study), images)


def draw_maps(data: ImageData, maps: Mapping[str, xarray.Dataset], n_images: int) -> Figure:
    """Draw the maps, by method, of the first image of each of the first classes; more methods than fit go below, images again."""
    first = next(iter(maps.values()))
    chosen = one_per_class(data.labels[first["image"].values], n_images)
    rows = [(head, place) for place in chosen for head in first["head"].values.tolist()]
    blocks = [dict(islice(maps.items(), start, start + COLUMNS)) for start in range(0, len(maps), COLUMNS)]
    shape = (len(blocks) * len(rows), min(len(maps), COLUMNS) + 1)
    cell = PAGE_WIDTH / (shape[1] + 1.2)
    height = cell * shape[0] * 1.06 + 0.3 * len(blocks)
    sheet, axes = plt.subplots(*shape, figsize=(PAGE_WIDTH, height), squeeze=False)
    sheet.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0.02, hspace=0.02)
    for block, own in zip(blocks, np.split(axes, len(blocks)), strict=True):
        for row, (head, place) in zip(own, rows, strict=True):
            _draw_row(row, data, block, head, place)
        for axis, name in zip(own[0], [_image_title(data.images.shape[1]), *map(title, block)], strict=False):
            axis.set_title(textwrap.fill(name, TITLE_WIDTH), size=7)
    return sheet


def _image_title(n_channels: int) -> str:
    return "image" if n_channels in (1, 3) else f"mean of {n_channels} channels"


def _draw_row(row: ndarray, data: ImageData, maps: Mapping[str, xarray.Dataset], head: str, place: int) -> None:
    first = next(iter(maps.values()))
    index, target = int(first["image"][place]), int(first["target"].sel(head=head)[place])
    row[0].imshow(displayable(data.images[index]), cmap="gray", vmin=0, vmax=255)
    truth = data.class_names[data.labels[index]]
    name = data.class_names[target] if target == data.labels[index] else f"{data.class_names[target]} [{truth}]"
    row[0].set_ylabel(f"{title(head)}\n{name}", size=6, rotation=0, ha="right", va="center")
    for axis in row[len(maps) + 1 :]:
        axis.set_axis_off()
    for axis, dataset in zip(row[1:], maps.values(), strict=False):
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
