"""The maps of a trained run as ViRelAy projects: from the artefacts of a study to what `virelay` writes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xarray
from torch import Tensor

from clxai.data.datasets import open_prepared
from clxai.explorer.plane import Plane
from clxai.explorer.virelay import Explained, Shown, export
from clxai.heads.base import load_head
from clxai.networks.embeddings import read_embeddings
from clxai.runtime.artefacts import read_arrays, read_table


def export_run(inputs: Any, study: str, dataset: str, model: str, folder: str | Path) -> list[Path]:
    """Write one project for each method and head of a run, from a rule's inputs, and return the project files."""
    data = open_prepared(dataset, inputs.images, inputs.labels)
    index = read_table(inputs.sample[0])["image"].to_numpy()
    embeddings = read_embeddings(inputs.embeddings[0], data)
    own, plane = embeddings[index], Plane.of(embeddings.numpy(), data)
    shown = Shown(f"{study}, {dataset}", data.images[index], data.labels[index], data.class_names, plane(own.numpy()))
    scores = {Path(path).stem: scores_of(path, own) for path in inputs.heads}
    return export(shown, explained_by(model, maps_in(inputs.attributions), scores), folder)


def scores_of(path: str, embeddings: Tensor) -> Tensor:
    """Return the scores [image, class] of a fitted head."""
    with torch.no_grad():
        return load_head(path, torch.device("cpu")).decide(embeddings)[0]


def maps_in(paths: Sequence[str]) -> Iterator[tuple[str, xarray.Dataset]]:
    """Yield each method, by the name of its file, with its maps."""
    for path in paths:
        yield Path(path).stem, read_arrays(path)


def explained_by(model: str, maps: Iterator[tuple[str, xarray.Dataset]], scores: Mapping[str, Tensor]) -> Iterator[Explained]:
    """Yield what every method says of every head."""
    for method, found in maps:
        for head in found["head"].values.tolist():
            own = found.sel(head=head)
            yield Explained(model, method, head, own["attribution"].values, own["target"].values, scores[head].numpy())
