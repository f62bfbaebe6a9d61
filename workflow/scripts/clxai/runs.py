"""One trained run (data set, model, seed) with all that belongs to it, and the design of runs that a study combines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor
from torch.nn import functional

from clxai.artefacts import read_arrays, read_table
from clxai.curves import class_centroids, head_targets
from clxai.datasets import ImageData, open_prepared
from clxai.embeddings import read_embeddings
from clxai.errors import ClxaiError
from clxai.flipping import Observer
from clxai.heads import Head, load_head
from clxai.models import Network, check_fits, load_network

_FIELDS = {"model": "models", "seed": "seeds", "method": "methods"}


@dataclass(frozen=True)
class Run:
    """A model with its data, heads and stored embeddings, looking at the images `index` of the data set."""

    data: ImageData
    network: Network
    heads: Mapping[str, Head]
    all_embeddings: Tensor
    index: Tensor

    def at(self, index: np.ndarray) -> "Run":
        """Return the run looking at these images."""
        return replace(self, index=torch.from_numpy(np.asarray(index, dtype=np.int64)).to(self.all_embeddings.device))

    def at_evaluation(self, path: str) -> "Run":
        """Return the run looking at the evaluation sample."""
        return self.at(read_table(path)["image"].to_numpy())

    @property
    def images(self) -> Tensor:
        """The chosen images in [0, 1], float32."""
        return torch.from_numpy(self.data.images[self.index.cpu().numpy()]).to(self.index.device).float() / 255

    @property
    def embeddings(self) -> Tensor:
        """The stored embeddings of the chosen images."""
        return self.all_embeddings[self.index]

    def observer(self, bank_k: int) -> Observer:
        """Return what is read off a perturbed embedding: heads, their targets, class centroids, training bank."""
        train = torch.from_numpy(self.data.indices("train")).to(self.index.device)
        if bank_k > len(train):
            raise ClxaiError(f"flipping.bank_k must be at most the {len(train)} training images. Got {bank_k}")
        labels = torch.from_numpy(self.data.labels).to(self.index.device)[train]
        bank = self.all_embeddings[train]
        return Observer(
            heads=self.heads,
            targets=head_targets(self.heads, self.embeddings),
            centroids=class_centroids(bank, labels, self.data.n_classes),
            bank=functional.normalize(bank, dim=1),
            bank_k=bank_k,
        )


def open_run(paths: Any, dataset: str, device: torch.device) -> Run:
    """Open a run from a rule's inputs (images, labels, model, embeddings, heads); checks that they belong together."""
    data = open_prepared(dataset, paths.images, paths.labels)
    network = load_network(paths.model, device)
    check_fits(network, data.n_classes, data.images.shape[1:], paths.model)
    embeddings = read_embeddings(paths.embeddings[0], data).to(device)
    heads = {Path(path).name.removesuffix(".safetensors"): load_head(path, device) for path in paths.heads}
    return Run(data, network, heads, embeddings, torch.arange(len(embeddings), device=device))


def design(settings: Mapping[str, Any], *names: str) -> list[dict[str, Any]]:
    """Return the combinations of the named factors in the order in which a rule lists its files."""
    levels = [settings[_FIELDS[name]] for name in names]
    return [dict(zip(names, cell, strict=True)) for cell in product(*levels)]


def read_runs(
    cells: Sequence[Mapping[str, Any]], paths: Sequence[str], leave_out: Sequence[str] = ()
) -> Iterator[tuple[Mapping[str, Any], xarray.Dataset]]:
    """Read one NetCDF file per cell, one after the other."""
    for cell, path in zip(cells, paths, strict=True):
        yield cell, read_arrays(path, leave_out)
