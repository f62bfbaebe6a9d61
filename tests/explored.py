"""An invented study as the files that its page reads: images, embeddings, maps, curves and tables, none of it computed."""

import json
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import xarray

HEADS = {"ce": ["softmax", "knn"], "supcon": ["knn"]}
FILLS = [{"name": name, "fill": name, "options": {}} for name in ("mean", "blur", "linear", "nun")]
UNITS = [
    {"name": "grid", "units": "grid", "options": {"height": 4, "width": 4}},
    {"name": "frames", "units": "frames", "options": {"width": 2}},
]
METRICS = {"srg_matched": {"better": 1, "text": "Higher is better."}, "path_length": {"better": -1, "text": "Lower is better."}}
CLASSES = [f"number {label}" for label in range(10)]
UNREAD = ("probability", "probability_matched_low", "probability_matched_high", "step_length", "acceleration")
N_TRAIN, N_STEPS, N_FOLLOWED, N_FEATURES = 40, 4, 5, 6


@dataclass
class Invented:
    """The files of an invented study in a folder, laid out as the workflow lays them out.

    Seeds have their own embeddings, and metrics; they share maps and curves, since writing these takes the time.
    """

    folder: Path
    n_images: int = 12
    shape: tuple[int, int, int] = (3, 16, 16)
    seeds: tuple[int, ...] = (0, 1)
    methods: tuple[str, ...] = ("random", "saliency")
    absent: dict[str, list[str]] = field(default_factory=dict)  # methods that a model does not have
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @cached_property
    def index(self):
        """The images that are explained: those behind the training images."""
        return np.arange(self.n_images) + N_TRAIN

    @cached_property
    def labels(self):
        """The class of every image of the data set."""
        return np.arange(N_TRAIN + self.n_images) % len(CLASSES)

    @property
    def targets(self):
        """What every head takes the images for: each seventh for the next class."""
        labels = self.labels[self.index]
        return np.where(np.arange(self.n_images) % 7 == 3, (labels + 1) % len(CLASSES), labels).astype(np.int16)

    def content(self):
        """Write everything and return what the page is made from."""
        from clxai.explorer.content import Content
        from clxai.explorer.told import Files, Told

        home = Path(self.folder) / "results" / "digits"
        runs = list(product(HEADS, self.seeds))
        files = {**self._data(home / "data"), **self._tables(Path(self.folder) / "results/studies/tiny/digits/tables")}
        files["embeddings"] = [self._embeddings(home / model / f"seed{seed}", seed) for model, seed in runs]
        files["attributions"] = [
            self._shared(home / model / f"seed{seed}/attributions/evaluation/{method}.nc", self._maps, model, method)
            for (model, seed), method in product(runs, self.methods)
            if self._has(model, method)
        ]
        files["curves"] = [
            self._shared(
                home / model / f"seed{seed}/curves/evaluation/{units['name']}/{method}.nc", self._curves, model, units["name"]
            )
            for (model, seed), units, method in product(runs, UNITS, self.methods)
            if self._has(model, method)
        ]
        names = {"models": list(HEADS), "seeds": list(self.seeds), "methods": list(self.methods), "controls": ["random"]}
        names |= {"absent": self.absent}
        told = Told("tiny", "digits", heads=HEADS, units=UNITS, fills=FILLS, metrics=METRICS, seed=0, **names)
        return Content(told, Files(**files))

    def _has(self, model, method):
        return method not in self.absent.get(model, ())

    def _data(self, folder):
        from clxai.data.datasets import crc32_of
        from clxai.runtime.artefacts import write_arrays, write_table

        images = self.rng.integers(0, 256, (len(self.labels), *self.shape), dtype=np.uint8)
        split = np.where(np.arange(len(images)) < N_TRAIN, 0, 2).astype(np.int8)
        variables = {"label": self.labels, "split": split, "crc32": crc32_of(images)}
        attrs = {"class_names": json.dumps(CLASSES), "mean": [0.4] * self.shape[0], "std": [0.2] * self.shape[0]}
        labels = xarray.Dataset({name: ("image", values) for name, values in variables.items()}, attrs=attrs)
        files = {"images": folder / "images.npy", "labels": folder / "labels.nc", "sample": folder / "samples" / "evaluation.csv"}
        write_arrays(labels, files["labels"])
        np.save(files["images"], images)
        write_table(pd.DataFrame({"image": self.index, "label": self.labels[self.index]}), files["sample"])
        return {name: str(path) for name, path in files.items()}

    def _embeddings(self, folder, seed):
        centres = np.random.default_rng(seed).normal(0, 4, (len(CLASSES), N_FEATURES))
        values = centres[self.labels] + self.rng.normal(size=(len(self.labels), N_FEATURES))
        variables = {"embedding": (("image", "feature"), values.astype(np.float32))}
        return self._written(xarray.Dataset(variables), folder / "embeddings.nc")

    def _maps(self, path, model, method):
        heads = HEADS[model]
        maps = self.rng.normal(size=(len(heads), self.n_images, *self.shape[1:])).astype(np.float32)
        maps = np.broadcast_to(maps[:1], maps.shape) if method == "random" else maps  # it does not depend on the head
        variables = {"attribution": (("head", "image", "y", "x"), maps)}
        variables["target"] = (("head", "image"), np.tile(self.targets, (len(heads), 1)))
        coords = {"head": heads, "image": self.index}
        return self._written(xarray.Dataset(variables, coords=coords, attrs={"signed": 1}), path)

    def _curves(self, path, model, units):
        from clxai.flipping.schema import QUANTITIES, RANKING, TRAJECTORY

        heads, followed = HEADS[model], self.index[:N_FOLLOWED]
        fills = [fill["name"] for fill in FILLS]
        coords = {"explained_by": heads, "scored_by": heads, "fill": fills, "order": ["morf", "lerf"], "image": self.index}
        coords |= {"step": np.arange(N_STEPS + 1), "trajectory": followed}
        sizes = {**{name: len(levels) for name, levels in coords.items()}, "feature": N_FEATURES}
        variables = {}
        for name, (axes, _, _, dtype) in {**QUANTITIES, "trajectory_embedding": TRAJECTORY, **RANKING}.items():
            if name not in UNREAD:
                values = 9 * self.rng.random([sizes[axis] for axis in axes])
                variables[name] = (axes, (values / 9 if name == "probability_matched" else values).astype(dtype))
        variables["degenerate"] = (RANKING["degenerate"].axes, np.zeros((len(heads), self.n_images), np.int8))
        variables["target"] = (RANKING["target"].axes, np.tile(self.targets, (len(heads), 1)))
        variables["unit"] = (("y", "x"), self._unit(units))
        coords["fraction"] = ("step", np.arange(N_STEPS + 1) / N_STEPS)
        attrs = {"seed": 0, "clean_bank_distance": 0.5, "clean_relative_mahalanobis": np.nan}
        return self._written(xarray.Dataset(variables, coords=coords, attrs=attrs), path)

    def _unit(self, units):
        rows, columns = np.indices(self.shape[1:])
        return (columns // 2 if units == "frames" else rows // 4 * (self.shape[2] // 4) + columns // 4).astype(np.int16)

    def _written(self, dataset, path):
        from clxai.runtime.artefacts import write_arrays

        write_arrays(dataset, path)
        return str(path)

    def _shared(self, path, make, *told):
        """Make a file of the first seed, and take that for the others."""
        first = Path(str(path).replace(f"seed{self.seeds[1]}", f"seed{self.seeds[0]}")) if len(self.seeds) > 1 else path
        if first == path:
            return make(path, *told)
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(first, path))

    def _tables(self, folder):
        from clxai.runtime.artefacts import write_table

        names = ["model", "seed", "units", "method", "explained_by", "scored_by", "fill"]
        cells = pd.DataFrame(
            [
                (model, seed, units["name"], method, explained, scored, fill["name"])
                for model, seed, units, method, fill in product(HEADS, self.seeds, UNITS, self.methods, FILLS)
                for explained, scored in product(HEADS[model], repeat=2)
                if self._has(model, method)
            ],
            columns=names,
        )
        images = cells.merge(pd.DataFrame({"image": self.index}), how="cross")
        images[list(METRICS)] = self.rng.normal(size=(len(images), len(METRICS)))
        images.loc[images["image"] == self.index[2], "path_length"] = np.nan
        groups = cells[cells["seed"] == self.seeds[0]].drop(columns="seed")
        summary = groups.merge(pd.DataFrame({"metric": list(METRICS)}), how="cross")
        summary[["mean", "ci_low", "ci_high"]] = self.rng.normal(size=(len(summary), 3))
        heads = cells[["model", "seed", "scored_by"]].drop_duplicates().rename(columns={"scored_by": "head"})
        checks = pd.DataFrame({"check": ["srg_identity", "accuracy"], "result": ["pass", "warn"]})
        tables = {"images": images, "summary": summary, "heads": heads.assign(split="test", accuracy=0.9), "checks": checks}
        for name, table in tables.items():
            write_table(table, folder / f"{name}.csv")
        return {f"{name}_table": str(folder / f"{name}.csv") for name in tables}
