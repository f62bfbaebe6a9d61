"""Maps of a few images by every method and head."""

import textwrap
from collections.abc import Mapping
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from clxai.data.datasets import ImageData
from clxai.figures.arrays import image_data, maps_of
from clxai.figures.base import Study, figure
from clxai.figures.pictures import (
    column_title,
    count_flaws,
    draw_image,
    image_title,
    places_of,
    scale_of,
    strip,
    write_flaw,
)
from clxai.figures.style import PAGE_WIDTH

TITLE_WIDTH = 10  # letters over a column of the gallery
COLUMNS = 10  # methods side by side; more go below


@figure(
    "gallery",
    arrays=["images", "attributions"],
    per="model",
    subcategory="Pictures",
    payloads=["attributions"],
    produces="local",
    scope_defined_by="explainer",
    options={"images": 2},
)
def gallery(study: Study, images: int) -> Figure:
    """Attribution maps of model {model} (first seed): each row an image and the head that is explained, with the class that
    it predicts (and in brackets the true one, where it differs), each column a method. Signed maps are red for and blue
    against the class; the others run from white (none) to dark. Each map has its own scale; one that is marked is not of its
    image alone. Images with other than one or three channels are shown as the mean of these. Written in a panel: why its map
    ranks nothing, so that flipping takes a random order; below, how many such maps there are among all images and heads of the
    sample.
    """
    return draw_maps(image_data(study), maps_of(study), images)


def draw_maps(data: ImageData, maps: Mapping[str, xarray.Dataset], n_images: int) -> Figure:
    """Draw the maps, by method, of the first image of each of the first classes; more methods than fit go below, images again."""
    rows = [
        (head, place) for place in places_of(data, maps, n_images) for head in next(iter(maps.values()))["head"].values.tolist()
    ]
    blocks = [dict(islice(maps.items(), start, start + COLUMNS)) for start in range(0, len(maps), COLUMNS)]
    shape = (len(blocks) * len(rows), min(len(maps), COLUMNS) + 1)
    cell = PAGE_WIDTH / (shape[1] + 1.2)
    height = cell * shape[0] * 1.06 + 0.3 * len(blocks)
    sheet, axes = plt.subplots(*shape, figsize=(PAGE_WIDTH, height), squeeze=False)
    sheet.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0.02, hspace=0.02)
    for block, own in zip(blocks, np.split(axes, len(blocks)), strict=True):
        for row, (head, place) in zip(own, rows, strict=True):
            _draw_row(row, data, block, head, place)
        own[0, 0].set_title(textwrap.fill(image_title(data.images.shape[1]), TITLE_WIDTH), size=6.5)
        for axis, (method, dataset) in zip(own[0, 1:], block.items(), strict=False):
            axis.set_title(column_title(method, dataset, TITLE_WIDTH), size=6.5)
    sheet.supxlabel(count_flaws(maps), size=7)
    return sheet


def _draw_row(row: ndarray, data: ImageData, maps: Mapping[str, xarray.Dataset], head: str, place: int) -> None:
    draw_image(row[0], data, next(iter(maps.values())), head, place)
    for axis in row[len(maps) + 1 :]:
        axis.set_axis_off()
    for axis, dataset in zip(row[1:], maps.values(), strict=False):
        _draw_map(axis, dataset["attribution"].sel(head=head)[place].values, bool(dataset.attrs["signed"]))
    for axis in row:
        strip(axis)


def _draw_map(axis: Axes, values: ndarray, signed: bool) -> None:
    """Draw one map on its own scale, with words over it if it ranks nothing."""
    limit = scale_of(values)
    look = {"cmap": "RdBu_r", "vmin": -limit} if signed else {"cmap": "Greys", "vmin": 0}
    axis.imshow(values, vmax=limit, **look)
    write_flaw(axis, values)
