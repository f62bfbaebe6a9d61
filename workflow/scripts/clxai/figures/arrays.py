"""Arrays that figures are drawn from: images, and of the first seed and units embeddings, maps and curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray
from numpy import ndarray

from clxai.data.datasets import ImageData, open_prepared
from clxai.design import design, read_runs
from clxai.figures.base import Study


def image_data(study: Study) -> ImageData:
    """Return the prepared images and labels."""
    return open_prepared(study.dataset, *study.arrays["images"])


def embeddings_of(study: Study) -> dict[str, ndarray]:
    """Return the embeddings [image, feature] of each model."""
    return {cell["model"]: run["embedding"].values for cell, run in _runs(study, "embeddings", "model", "seed")}


def curves_of(study: Study, methods: Sequence[str]) -> dict[tuple[str, str], xarray.Dataset]:
    """Return the curves by (model, method), of these methods alone."""
    runs = _runs(study, "curves", "model", "seed", "units", "method", method=methods)
    return {(cell["model"], cell["method"]): curves for cell, curves in runs}


def maps_of(study: Study) -> dict[str, xarray.Dataset]:
    """Return the attributions of the figure's model by method."""
    return {cell["method"]: maps for cell, maps in _runs(study, "attributions", "model", "seed", "method")}


def maps_of_models(study: Study) -> dict[tuple[str, str], xarray.Dataset]:
    """Return the attributions by (model, method)."""
    return {(cell["model"], cell["method"]): maps for cell, maps in _runs(study, "attributions", "model", "seed", "method")}


def _runs(study: Study, kind: str, *names: str, method: Sequence[str] | None = None) -> Any:
    """Read the files of one kind of arrays, one after the other, those of other methods left out."""
    models = study.models if study.model is None else [study.model]
    settings: Mapping[str, Any] = {"models": models, "seeds": [study.seed], "units": [study.units]}
    settings = {**settings, "methods": study.methods, "absent": study.absent}
    pairs = zip(design(settings, *names), study.arrays[kind], strict=True)
    chosen = [(cell, path) for cell, path in pairs if method is None or cell["method"] in method]
    return read_runs([cell for cell, _ in chosen], [path for _, path in chosen])


def one_per_class(labels: ndarray, n_images: int) -> list[int]:
    """Return the positions of the first image of each of the first `n_images` classes (fewer if there are fewer classes)."""
    return [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:n_images]]
