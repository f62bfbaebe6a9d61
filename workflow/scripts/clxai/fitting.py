"""Fit the heads of a model: on train, temperature on val, metrics on val and test."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from clxai.calibration import fit_temperature, head_metrics
from clxai.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.heads import HEADS, Head
from clxai.inference import Encoder


def fit_heads(
    encoder: Encoder, data: ImageData, embeddings: Tensor, options: Mapping[str, Mapping[str, Any]], where: str = "network"
) -> tuple[dict[str, Head], pd.DataFrame]:
    """Fit each named head; return the heads and one row of metrics per head and split.

    Raises ClxaiError, naming the file `where` of the model, if a head cannot be fitted or a class has no training image.
    """
    labels = torch.from_numpy(data.labels)
    _check_classes(data)
    train = torch.from_numpy(data.indices("train"))
    heads, rows = {}, []
    for name, chosen in options.items():
        try:
            head = HEADS[name].build.fit(embeddings[train], labels[train], data.n_classes, chosen, encoder.classifier)
        except ClxaiError as error:
            raise ClxaiError(f"{where}: {error}") from error
        val = torch.from_numpy(data.indices("val"))
        head.temperature.fill_(fit_temperature(head(embeddings[val]), labels[val]))
        head.facts = {**head.facts, "n_fitted": float(len(train))}
        for split in ("val", "test"):
            members = torch.from_numpy(data.indices(split))
            rows.append({"head": name, "split": split, **head_metrics(head, embeddings[members], labels[members])})
        print(f"{name}: {rows[-1]} {head.facts}", flush=True)
        heads[name] = head
    return heads, pd.DataFrame(rows)


def _check_classes(data: ImageData) -> None:
    """Raise ClxaiError if a class has no training image: no head could score it."""
    counts = np.bincount(data.labels[data.indices("train")], minlength=data.n_classes)
    absent = [name for name, count in zip(data.class_names, counts, strict=True) if not count]
    if absent:
        raise ClxaiError(f"{data.name}: no training image of class {', '.join(absent[:5])}: raise limit.train of the data set")
