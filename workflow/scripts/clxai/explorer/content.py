"""What the page of a study shows, in slices: loaded one after the other, as they are looked at.

| slice | holds |
| --- | --- |
| `overview` | names, images with their classes, thumbnails, what quantities and metrics mean |
| `summary` | mean and interval of every metric by model, units, method, head and fill, heads scored by themselves |
| `pixels/{block}` | images, pictures of the fills that need no model, label maps, how many units are gone at each step |
| `run/{model}/{seed}` | predictions and accuracy of the heads; the plane of the embeddings, its classes, where clean images lie |
| `bank/{model}/{seed}/{block}` | pictures of the fills that need the training images as the model embeds them |
| `metrics/{model}/{seed}/{units}/{method}` | every metric of every image, heads scored by themselves |
| `curves/{model}/{seed}/{units}/{method}/{block}` | curves, distances, paths, ranks and mean attributions of the units |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray
from numpy import ndarray

from clxai.data.datasets import ImageData, open_prepared
from clxai.explorer.orders import Cutting
from clxai.explorer.packing import Slice, rounded
from clxai.explorer.pictures import Gallery, blocks, by_mask, drawable, thumbnails
from clxai.explorer.plane import Plane
from clxai.explorer.told import Files, Told
from clxai.figures.style import title, warning_of
from clxai.fills.base import Fill, fills_of
from clxai.flipping.schema import PATH, QUANTITIES
from clxai.names import ORDERS
from clxai.networks.embeddings import read_embeddings
from clxai.runtime.artefacts import read_arrays, read_table

SCORES = ("probability_matched", "log_odds")  # from the second the page makes the probability at temperature 1
DISTANCES = tuple(
    name for name, variable in QUANTITIES.items() if variable.axes == PATH and name not in ("step_length", "acceleration")
)
KEYS = ["model", "seed", "units", "method"]


@dataclass(frozen=True)
class Content:
    """A finished study on one data set, read as its slices are asked for."""

    told: Told
    files: Files

    @cached_property
    def data(self) -> ImageData:
        """The prepared data set."""
        return open_prepared(self.told.dataset, self.files.images, self.files.labels)

    @cached_property
    def index(self) -> ndarray:
        """The numbers of the images that are explained and flipped."""
        return read_table(self.files.sample)["image"].to_numpy(copy=True)

    @cached_property
    def gallery(self) -> Gallery:
        """These images."""
        return Gallery.of(self.data, self.index, self.told.seed)

    @cached_property
    def blocks(self) -> list[slice]:
        """Which images are loaded together."""
        return blocks(len(self.index), self.data.images.shape[1:])

    @cached_property
    def fills(self) -> tuple[Fill, ...]:
        """The fills of the study."""
        return fills_of(self.told.fills)

    @cached_property
    def curves(self) -> dict[tuple[Any, ...], Any]:
        """The files of curves by model, seed, units and method."""
        return self.files.by_run(self.told, "curves", *KEYS)

    @cached_property
    def attributions(self) -> dict[tuple[Any, ...], Any]:
        """The files of maps by model, seed and method."""
        return self.files.by_run(self.told, "attributions", "model", "seed", "method")

    @cached_property
    def fraction(self) -> Mapping[str, list[float]]:
        """The removed fraction at each step, by units."""
        return {cut["name"]: _first(self, cut["name"])["fraction"].values.tolist() for cut in self.told.units}

    @cached_property
    def cuttings(self) -> dict[str, Cutting]:
        """How the images are cut, by units."""
        steps = {name: len(fraction) - 1 for name, fraction in self.fraction.items()}
        return {cut["name"]: Cutting.of(cut, self.gallery.images, self.index, steps[cut["name"]]) for cut in self.told.units}

    def slices(self) -> Iterator[tuple[str, Slice]]:
        """Yield every slice with its name; what is looked at first comes first: the first seed of all models."""
        yield "overview", self.overview()
        yield "summary", summary(read_table(self.files.summary_table))
        for number, rows in enumerate(self.blocks):
            yield f"pixels/{number}", self.pixels(rows)
        embeddings = self.files.by_run(self.told, "embeddings", "model", "seed")
        heads, metrics = (
            read_table(self.files.heads_table),
            measured(read_table(self.files.images_table), list(self.told.metrics)),
        )
        for seed in self.told.seeds:
            for model in self.told.models:
                yield from self.of_run(model, seed, str(embeddings[model, seed]), heads, metrics)

    def of_run(
        self, model: str, seed: int, path: str, heads: pd.DataFrame, metrics: Mapping[tuple[Any, ...], pd.DataFrame]
    ) -> Iterator[tuple[str, Slice]]:
        """Yield the slices of one trained run."""
        embeddings = read_embeddings(path, self.data)
        plane = Plane.of(embeddings.numpy(), self.data)
        targets = None
        for method in self.told.methods_of(model):
            maps = read_arrays(self.attributions[model, seed, method])
            for units, cutting in self.cuttings.items():
                place = f"{model}/{seed}/{units}/{method}"
                curves = read_arrays(self.curves[model, seed, units, method])
                cutting.check(curves, self.curves[model, seed, units, method])
                if targets is None:
                    targets = curves["target"].values
                    yield f"run/{model}/{seed}", self.run(plane, embeddings.numpy(), targets, accuracies(heads, model, seed))
                    yield from self.bank_pictures(f"{model}/{seed}", embeddings)
                yield f"metrics/{place}", Slice(by_head(metrics[model, seed, units, method]))
                for number, content in enumerate(self.curve_slices(curves, maps, cutting, plane)):
                    yield f"curves/{place}/{number}", content

    def overview(self) -> Slice:
        """Return what the page needs to begin."""
        told = self.told
        names = [*told.models, *told.methods, *told.heads, *(name for heads in told.heads.values() for name in heads), *ORDERS]
        values = {
            "name": told.name,
            "dataset": told.dataset,
            "models": list(told.models),
            "seeds": list(told.seeds),
            "methods": {model: told.methods_of(model) for model in told.models},
            "controls": list(told.controls),
            "heads": {model: list(heads) for model, heads in told.heads.items()},
            "units": [cut["name"] for cut in told.units],
            "fills": by_mask(self.fills),
            "banks": [fill.name for fill in self.fills if fill.sees_bank],
            "orders": list(ORDERS),
            "titles": {name: title(name) for name in names},
            "metrics": told.metrics,
            "quantities": {
                name: {"unit": QUANTITIES[name].unit, "text": QUANTITIES[name].text} for name in (*SCORES, *DISTANCES)
            },
            "distances": list(DISTANCES),
            "classes": list(self.data.class_names),
            "images": self.index.tolist(),
            "labels": self.data.labels[self.index].tolist(),
            "blocks": [rows.start for rows in self.blocks],
            "fraction": self.fraction,
            "warning": warning_of(read_table(self.files.checks_table)),
        }
        return Slice(values, {"thumbnails": thumbnails(self.gallery.images)})

    def pixels(self, rows: slice) -> Slice:
        """Return some images and what becomes of them, whatever the model."""
        arrays = {"images": drawable(self.gallery.images[rows])}
        for fill in self.fills:
            if not fill.sees_mask and not fill.sees_bank:
                arrays[f"fill/{fill.name}"] = drawable(self.gallery.filled(fill, rows))
        for name, cutting in self.cuttings.items():
            arrays[f"labels/{name}"] = cutting.labels[rows] if len(cutting.labels) > 1 else cutting.labels
            arrays[f"counts/{name}"] = cutting.counts[rows].astype(np.uint16)
        return Slice({}, arrays)

    def bank_pictures(self, place: str, embeddings: torch.Tensor) -> Iterator[tuple[str, Slice]]:
        """Yield the pictures of fills that need the training images as the model embeds them."""
        chosen = [fill for fill in self.fills if fill.sees_bank]
        for number, rows in enumerate(self.blocks if chosen else []):
            arrays = {f"fill/{fill.name}": drawable(self.gallery.filled(fill, rows, embeddings)) for fill in chosen}
            yield f"bank/{place}/{number}", Slice({}, arrays)

    def run(self, plane: Plane, embeddings: ndarray, targets: ndarray, accuracy: Mapping[str, float]) -> Slice:
        """Return what belongs to a trained run, whatever explains it."""
        arrays = {"labels": plane.labels.astype(np.uint16), "targets": targets.astype(np.uint16)}
        points = {"points": plane.points.T, "medians": plane.medians.T, "clean": plane(embeddings[self.index]).T}
        return Slice({"shares": plane.shares, "accuracy": accuracy}, {**arrays, **_floats(points)})

    def curve_slices(self, curves: xarray.Dataset, maps: xarray.Dataset, cutting: Cutting, plane: Plane) -> Iterator[Slice]:
        """Yield the curves of one method, block by block of images."""
        ranks, scores = cutting.ordered(maps["attribution"].values, int(curves.attrs["seed"]))
        followed = len(curves["trajectory"])
        paths = np.moveaxis(plane(curves["trajectory_embedding"].values), -1, -2)
        values = {name: value for name, value in curves.attrs.items() if name.startswith("clean_")}
        values = {name: rounded(float(value)) for name, value in values.items()}
        values |= {"signed": int(maps.attrs["signed"]), "heads": curves["explained_by"].values.tolist()}
        for rows in self.blocks:
            some = curves.isel(image=rows)
            arrays = {name: once(array) for name, array in (("ranks", ranks[:, rows]), ("degenerate", some["degenerate"].values))}
            arrays["prediction"] = once(some["prediction"].values.astype(np.uint16))
            quantised = {name: once(some[name].values) for name in (*SCORES, *DISTANCES)}
            quantised["scores"] = once(scores[:, rows])
            path = paths[:, :, :, rows.start : min(rows.stop, followed)]
            if path.size:
                quantised["path"] = once(path)
                arrays |= self.stored_pictures(ranks, cutting, rows, followed)
            yield Slice(values, arrays, quantised)

    def stored_pictures(self, ranks: ndarray, cutting: Cutting, rows: slice, followed: int) -> Mapping[str, ndarray]:
        """Return the images that are followed at every step, as fills that see the mask leave them.

        Each [explained, order, image, step, channel, y, x].
        """
        arrays = {}
        last = cutting.cut.units_of(torch.arange(len(self.index))).numpy()[:, None] - 1
        for fill in (fill for fill in self.fills if fill.sees_mask):
            orders = [(explained, last - explained) for explained in once(ranks).astype(np.int64)]
            pictures = [[self.gallery.perturbed(fill, cutting, order, followed)[rows] for order in both] for both in orders]
            arrays[f"fill/{fill.name}"] = drawable(torch.stack([torch.stack(both) for both in pictures]))
        return arrays


def _first(content: Content, units: str) -> xarray.Dataset:
    """Return the curves of the first run by these units."""
    path = next(path for (_, _, cut, _), path in content.curves.items() if cut == units)
    return read_arrays(path)


def once(array: ndarray) -> ndarray:
    """Return an array whose first axis is the explaining head with length 1 if all of them have the same."""
    same = all(np.array_equal(array[0], other, equal_nan=array.dtype.kind == "f") for other in array[1:])
    return array[:1] if same else array


def _floats(arrays: Mapping[str, ndarray]) -> dict[str, ndarray]:
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def summary(table: pd.DataFrame) -> Slice:
    """Return mean and interval of every metric, heads scored by themselves, by model/units/method/head/fill."""
    own = table[table["explained_by"] == table["scored_by"]]
    values: dict[str, dict[str, list[float | None]]] = {}
    columns = ["model", "units", "method", "scored_by", "fill", "metric", "mean", "ci_low", "ci_high"]
    for *cell, metric, mean, low, high in own[columns].itertuples(index=False):
        values.setdefault("/".join(cell), {})[metric] = [rounded(mean), rounded(low), rounded(high)]
    return Slice(values)


def measured(table: pd.DataFrame, metrics: list[str]) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Return the rows of the table of images of heads scored by themselves, by model, seed, units and method."""
    own = table[table["explained_by"] == table["scored_by"]]
    return dict(iter(own[[*KEYS, "scored_by", "fill", "image", *metrics]].groupby(KEYS)))


def by_head(rows: pd.DataFrame) -> dict[str, dict[str, list[float | None]]]:
    """Return every metric of every image, in the order of the images, by head/fill."""
    values = {}
    for (head, fill), cell in rows.groupby(["scored_by", "fill"]):
        ordered = cell.sort_values("image").drop(columns=[*KEYS, "scored_by", "fill", "image"])
        values[f"{head}/{fill}"] = {name: [rounded(value) for value in column] for name, column in ordered.items()}
    return values


def accuracies(table: pd.DataFrame, model: str, seed: int) -> dict[str, float | None]:
    """Return the accuracy of each head of a run on the test images."""
    rows = table[(table["model"] == model) & (table["seed"] == seed) & (table["split"] == "test")]
    return {head: rounded(accuracy) for head, accuracy in zip(rows["head"], rows["accuracy"], strict=True)}
