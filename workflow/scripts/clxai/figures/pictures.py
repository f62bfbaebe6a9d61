"""Parts of pictures of single images: the image as it can be shown, the classes of a row, words for maps that rank nothing."""

import textwrap
from collections.abc import Mapping

import numpy as np
import xarray
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from numpy import ndarray

from clxai.attribution.flaws import flaws_of
from clxai.data.datasets import ImageData
from clxai.figures.arrays import one_per_class
from clxai.figures.style import title


def displayable(pixels: ndarray) -> ndarray:
    """Return an image uint8 [channel, y, x] as it can be shown: three channels as colours, else their mean [y, x] as grey."""
    return pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels.mean(axis=0)


def image_title(n_channels: int) -> str:
    """Return what stands over an image: that it is a mean, where it has other than one or three channels."""
    return "image" if n_channels in (1, 3) else f"mean of {n_channels} channels"


def places_of(data: ImageData, maps: Mapping[str, xarray.Dataset], n_images: int) -> list[int]:
    """Return where, among the images of the maps, the first image of each of the first classes stands."""
    return one_per_class(data.labels[next(iter(maps.values()))["image"].values], n_images)


def class_names(data: ImageData, maps: xarray.Dataset, head: str, place: int) -> str:
    """Return the class that a head predicts for an image, and in brackets the true one where it differs."""
    index, target = int(maps["image"][place]), int(maps["target"].sel(head=head)[place])
    truth = data.class_names[data.labels[index]]
    return data.class_names[target] if target == data.labels[index] else f"{data.class_names[target]} [{truth}]"


def draw_image(axis: Axes, data: ImageData, maps: xarray.Dataset, head: str, place: int) -> None:
    """Draw an image of the maps at the left end of its row, with the head and its class beside."""
    axis.imshow(displayable(data.images[int(maps["image"][place])]), cmap="gray", vmin=0, vmax=255)
    label = f"{title(head)}\n{class_names(data, maps, head, place)}"
    axis.set_ylabel(label, size=6, rotation=0, ha="right", va="center")


def column_title(method: str, maps: xarray.Dataset, letters: int) -> str:
    """Return the name of a method in lines of so many letters, marked where its map is not of one image alone."""
    mark = textwrap.fill("(over images)", letters + 2) if maps.attrs.get("scope") == "aggregated" else ""
    return textwrap.fill(title(method), letters, break_long_words=False) + (f"\n{mark}" if mark else "")


def flaws(maps: Float[ndarray, "*maps y x"]) -> Shaped[ndarray, "*maps"]:
    """Return why maps rank nothing, so that flipping takes a random order: "not finite", "all zero", "constant", or else ""."""
    found = flaws_of(maps)
    return np.select(list(found.values()), [name.replace("_", " ") for name in found], "")


def count_flaws(maps: Mapping[str, xarray.Dataset]) -> str:
    """Return how many maps of each method, over all heads and images, rank nothing and why, in words; empty if all rank."""
    found = []
    for method, dataset in maps.items():
        own = flaws(dataset["attribution"].values)
        found += [f"{title(method)} {(own == kind).sum()} of {own.size} {kind}" for kind in np.unique(own) if kind]
    return f"maps that rank nothing: {', '.join(found)}" if found else ""


def write_flaw(axis: Axes, values: Float[ndarray, "y x"]) -> None:
    """Write over the panel of a map why it ranks nothing; nothing if it ranks."""
    words = str(flaws(values))
    box = {"fc": "white", "ec": "none", "pad": 0.8}
    axis.text(0.5, 0.5, words.replace(" ", "\n"), transform=axis.transAxes, ha="center", va="center", size=6.5, bbox=box)


def strip(axis: Axes) -> None:
    """Take ticks and grid from a panel that shows a picture."""
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set(color="0.7", lw=0.4)


def scale_of(values: Float[ndarray, "y x"], share: float = 1.0) -> float:
    """Return the magnitude, above 0, below which this share of the finite values of a map lies; the largest where that is 0."""
    magnitude = np.abs(values[np.isfinite(values)])
    largest = magnitude.max(initial=0.0)
    return float(np.quantile(magnitude, share) if largest else 0.0) or float(largest) or 1.0
