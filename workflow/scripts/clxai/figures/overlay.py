"""Maps over the image that they explain, and alone."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import xarray
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy import ndarray

from clxai.data.datasets import ImageData
from clxai.figures.arrays import image_data, maps_of
from clxai.figures.base import Study, figure
from clxai.figures.pictures import (
    column_title,
    count_flaws,
    displayable,
    draw_image,
    image_title,
    places_of,
    scale_of,
    strip,
    write_flaw,
)
from clxai.figures.style import PAGE_WIDTH, title

COLUMNS = 8  # methods side by side; more go below
_LETTERS = 11  # of a title in one line
_SHARE = 0.99  # of a map's pixels that are not saturated: a single one may be far above the others
_FOR, _AGAINST, _MAGNITUDE = to_rgb("#b2182b"), to_rgb("#2166ac"), to_rgb("#e66101")
_COVER = 0.9  # of the image at full strength
_DARK, _LIGHT = 0.25, 0.95  # greys of black and white below a map: colours must be told apart on either
_ALIGNED = {"layer": "interpolated", "unit": "by unit"}  # what stands below the name of a method
_BELOW = 0.55  # inches for colour bars and words
_STEPS = np.linspace(0, 1, 65)  # along a colour bar


@figure(
    "overlay",
    arrays=["images", "attributions"],
    per="model",
    subcategory="Pictures",
    payloads=["attributions"],
    produces="local",
    scope_defined_by="explainer",
    options={"images": 2, "head": None},
)
def overlay(study: Study, images: int, head: str | None) -> Figure:
    """Attribution maps of model {model} (first seed) of one head, over the image in grey (upper row) and alone (lower row), with
    the class that it predicts (and in brackets the true one, where it differs). The stronger the colour, the higher the
    magnitude; it saturates where a map has 1 % of its pixels above. Marked: a map that is not of its image alone, one of a layer,
    which is interpolated, and one of units, outlined where a unit ends. Written in a panel: why its map ranks nothing, so that
    flipping takes a random order; below, how many such maps there are among all images and heads of the sample.
    """
    head = head or (*study.shared_heads, *study.heads)[0]
    return draw_overlays(image_data(study), maps_of(study), head, images)


def draw_overlays(data: ImageData, maps: Mapping[str, xarray.Dataset], head: str, n_images: int) -> Figure:
    """Draw the maps of a head, by method, of the first image of each of the first classes; more methods than fit go below."""
    first = next(iter(maps.values()))
    if head not in first["head"].values:
        return _no_head(head)
    places, n_blocks = places_of(data, maps, n_images), -(-len(maps) // COLUMNS)
    blocks = [part.tolist() for part in np.array_split([*maps], n_blocks)]
    shape = (2 * len(places) * n_blocks, len(blocks[0]) + 1)
    height = PAGE_WIDTH / (shape[1] + 0.8) * shape[0] * 1.04 + 0.35 * n_blocks + _BELOW
    sheet, panels = plt.subplots(*shape, figsize=(PAGE_WIDTH, height), squeeze=False)
    rest = {"rect": (0, _BELOW / height, 1, 1 - _BELOW / height)}
    sheet.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0.02, hspace=0.02, **rest)
    for block, own in zip(blocks, np.split(panels, n_blocks), strict=True):
        chosen = {name: maps[name] for name in block}
        for place, pair in zip(places, np.split(own, len(places)), strict=True):
            _draw_pair(pair, data, chosen, head, place)
        _name_columns(own[0], data, chosen)
    signs = sorted({bool(dataset.attrs["signed"]) for dataset in maps.values()}, reverse=True)
    for number, signed in enumerate(signs):
        bar = sheet.add_axes((0.15 + 0.43 * number, (_BELOW - 0.14) / height, 0.28, 0.1 / height), in_layout=False)
        _draw_bar(bar, signed)
    sheet.text(0.5, 0.05 / height, count_flaws(maps), size=7, ha="center", va="bottom", in_layout=False)
    return sheet


def _no_head(head: str) -> Figure:
    sheet, axis = plt.subplots(figsize=(PAGE_WIDTH, 1.2))
    axis.set_axis_off()
    axis.text(0.5, 0.5, f"this model has no head {title(head)}", ha="center", va="center")
    return sheet


def _draw_pair(rows: ndarray, data: ImageData, maps: Mapping[str, xarray.Dataset], head: str, place: int) -> None:
    """Draw one image, its maps over it (first row) and alone (second row)."""
    first = next(iter(maps.values()))
    pixels = displayable(data.images[int(first["image"][place])])
    draw_image(rows[0, 0], data, first, head, place)
    below = [shaded(pixels), np.ones((*pixels.shape[:2], 3))]
    for column, dataset in enumerate(maps.values(), start=1):
        values = dataset["attribution"].sel(head=head)[place].values
        for axis, ground in zip(rows[:, column], below, strict=True):
            axis.imshow(coloured(values, bool(dataset.attrs["signed"]), ground))
            if dataset.attrs["aligned_to"] == "unit":
                _outline(axis, values)
            write_flaw(axis, values)
    for axis in (*rows[0, len(maps) + 1 :], *rows[1, len(maps) + 1 :], rows[1, 0]):
        axis.set_axis_off()
    for axis in rows.flat:
        strip(axis)


def shaded(pixels: ndarray) -> Float[ndarray, "y x 3"]:
    """Return an image [y, x] or [y, x, 3] in 0..255 as greys that leave room for colour: luminance by ITU-R BT.601."""
    grey = pixels @ np.array([0.299, 0.587, 0.114]) if pixels.ndim == 3 else pixels
    return np.repeat((_DARK + (_LIGHT - _DARK) * grey / 255)[..., None], 3, axis=2)


def coloured(values: Float[ndarray, "y x"], signed: bool, ground: Float[ndarray, "y x 3"]) -> Float[ndarray, "y x 3"]:
    """Return colours in [0, 1]: what is below, covered the more the larger the magnitude; nothing where a value is not finite."""
    return _covered(np.nan_to_num(values / scale_of(values, _SHARE), nan=0, posinf=0, neginf=0).clip(-1, 1), signed, ground)


def _covered(strength: Float[ndarray, "y x"], signed: bool, ground: Float[ndarray, "y x 3"]) -> Float[ndarray, "y x 3"]:
    """Return colours of strengths in [-1, 1] over what is below."""
    cover = _COVER * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] < 0, _AGAINST, _FOR) if signed else np.array(_MAGNITUDE)
    return (1 - cover) * ground + cover * colour


def _outline(axis: Axes, values: Float[ndarray, "y x"]) -> None:
    """Draw the borders between pixels of different values."""
    lines = [*_borders(values[:, 1:] != values[:, :-1], 0), *_borders(values[1:] != values[:-1], 1)]
    axis.add_collection(LineCollection(lines, colors="0.55", linewidths=0.3))


def _borders(differs: Bool[ndarray, "y x"], along: int) -> list[tuple[tuple[float, float], ...]]:
    """Return the border after each pixel that differs from the next one along an axis, x (0) or y (1)."""
    if along == 0:
        return [((x + 0.5, y - 0.5), (x + 0.5, y + 0.5)) for y, x in np.argwhere(differs)]
    return [((x - 0.5, y + 0.5), (x + 0.5, y + 0.5)) for y, x in np.argwhere(differs)]


def _name_columns(axes: ndarray, data: ImageData, maps: Mapping[str, xarray.Dataset]) -> None:
    """Name the image and the methods over their columns, with what a map that is not of pixels was made of."""
    axes[0].set_title(image_title(data.images.shape[1]), size=7)
    for axis, (method, dataset) in zip(axes[1:], maps.items(), strict=False):
        name = column_title(method, dataset, _LETTERS)
        mark = _ALIGNED.get(dataset.attrs["aligned_to"])
        axis.set_title(f"{name}\n({mark})" if mark else name, size=7)


def _draw_bar(axis: Axes, signed: bool) -> None:
    """Draw the colours of signed or of unsigned maps, over white."""
    steps = np.concatenate([-_STEPS[:0:-1], _STEPS]) if signed else _STEPS
    axis.imshow(_covered(steps[None], signed, np.ones((1, len(steps), 3))), aspect="auto", extent=(steps[0], 1, 0, 1))
    ticks = {-1: "against the class", 0: "0", 1: "for it"} if signed else {0: "0", 1: "most (no sign)"}
    axis.set_xticks([*ticks], ticks.values(), size=7)
    axis.set_yticks([])
    axis.grid(False)
