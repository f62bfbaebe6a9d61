"""One trained run (data set, model, seed) with all that belongs to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clxai.data.batches import in_unit_range
from clxai.data.datasets import ImageData, open_prepared
from clxai.heads.base import Head, load_head
from clxai.networks.embeddings import read_embeddings
from clxai.networks.inference import Encoder, load_encoder
from clxai.runtime.artefacts import read_table


@dataclass(frozen=True)
class Run:
    """A model with its data, heads and stored embeddings, looking at the images `index` of the data set."""

    data: ImageData
    encoder: Encoder
    checkpoint: str
    heads: Mapping[str, Head]
    all_embeddings: Tensor
    index: Tensor

    def at(self, index: np.ndarray) -> "Run":
        """Return the run looking at these images."""
        return replace(self, index=torch.from_numpy(np.array(index, dtype=np.int64)).to(self.all_embeddings.device))

    def at_sample(self, path: str) -> "Run":
        """Return the run looking at the images of a sample's file."""
        return self.at(read_table(path)["image"].to_numpy())

    @property
    def images(self) -> Tensor:
        """The chosen images in [0, 1], float32."""
        return in_unit_range(torch.from_numpy(self.data.images[self.index.cpu().numpy()]).to(self.index.device))

    @property
    def evidence(self) -> Tensor | None:
        """Where the evidence of the chosen images is, uint8 [image, y, x]; None where the data do not tell."""
        stored = self.data.evidence
        return None if stored is None else torch.from_numpy(stored[self.index.cpu().numpy()]).to(self.index.device)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the images in pixels; nothing is read."""
        return self.data.images.shape[2:]

    @property
    def embeddings(self) -> Tensor:
        """The stored embeddings of the chosen images."""
        return self.all_embeddings[self.index]

    def training_bank(self) -> tuple[Tensor, Tensor]:
        """Return the raw embeddings of the train split and their labels."""
        train = torch.from_numpy(self.data.indices("train")).to(self.index.device)
        return self.all_embeddings[train], torch.from_numpy(self.data.labels).to(self.index.device)[train]


def open_run(paths: Any, dataset: str, device: torch.device) -> Run:
    """Open a run from a rule's inputs (images, labels, model, embeddings, heads); checks that they belong together."""
    data = open_prepared(dataset, paths.images, paths.labels)
    encoder = load_encoder(paths.model, device)
    encoder.architecture.check_fits(data.n_classes, data.images.shape[1:], paths.model)
    embeddings = read_embeddings(paths.embeddings[0], data).to(device)
    heads = {Path(path).stem: load_head(path, device) for path in paths.heads}
    return Run(data, encoder, paths.model, heads, embeddings, torch.arange(len(embeddings), device=device))
