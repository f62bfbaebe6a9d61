"""Fit the heads of a model: on train, temperature on disturbed images of val, metrics on val and test."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clxai.data.batches import ImageStore
from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.heads.base import HEADS, Head
from clxai.heads.calibration import fit_temperature, head_metrics
from clxai.keys import key_of
from clxai.networks.inference import Encoder
from clxai.randomness import keyed_uniform
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once

CALIBRATION_IMAGES, CALIBRATION_COPIES = 500, 4  # validation images at most, noisy copies of each
MOST_NOISE = 0.5


class Labelled(NamedTuple):
    """Embeddings with the class of each and the number of the image that it is of: several rows may be copies of one."""

    embeddings: Float[Tensor, "row feature"]
    labels: Int[Tensor, " row"]
    image: Int[Tensor, " row"]


def fit_heads(
    encoder: Encoder, data: ImageData, embeddings: Tensor, options: Mapping[str, Mapping[str, Any]], where: str = "network"
) -> tuple[dict[str, Head], pd.DataFrame]:
    """Fit each named head with its given options; return the heads and one row of metrics per head and split.

    `options` by name; `head` among them is the registered head where the name is not.

    Raises ClxaiError, naming the file `where` of the model, if a head cannot be fitted or a class has no training image.
    """
    _check_classes(data)
    labels, train = torch.from_numpy(data.labels), torch.from_numpy(data.indices("train"))
    disturbed, owner = disturbed_embeddings(encoder, data)
    bank = Labelled(embeddings[train], labels[train], train)
    heads = heads_on(bank, Labelled(disturbed, labels[owner], owner), options, data.n_classes, encoder.classifier, where)
    rows = []
    for name, head in heads.items():
        for split in ("val", "test"):
            members = torch.from_numpy(data.indices(split))
            rows.append({"head": name, "split": split, **head_metrics(head, embeddings[members], labels[members])})
        print(f"{name}: {rows[-1]} {head.facts}", flush=True)
    return heads, pd.DataFrame(rows)


def heads_on(
    bank: Labelled,
    calibration: Labelled,
    options: Mapping[str, Mapping[str, Any]],
    n_classes: int,
    classifier: nn.Linear | None = None,
    where: str = "network",
) -> dict[str, Head]:
    """Fit each named head on a bank of training embeddings, and its temperature on others; `options` as `fit_heads` has them.

    `classifier` is the network's own layer where it has one. Raises ClxaiError, naming `where`, if a head cannot be fitted.
    """
    heads = {}
    for name, given in options.items():
        chosen = {key: value for key, value in given.items() if key != "head"}
        kind = HEADS[given.get("head", name)]
        try:
            filled = kind.options(chosen, training_images=len(bank.labels))
            head = kind.definition.fit(bank.embeddings, bank.labels, n_classes, filled, classifier)
        except ClxaiError as error:
            raise ClxaiError(f"{where}: {error}") from error
        temperature = fit_temperature(head(calibration.embeddings), calibration.labels, calibration.image)
        head.temperature.fill_(temperature.value)
        head.temperature_low.fill_(temperature.low)
        head.temperature_high.fill_(temperature.high)
        head.facts = {**head.facts, "n_fitted": float(len(bank.labels))}
        heads[name] = head
    return heads


@torch.no_grad()
def disturbed_embeddings(encoder: Encoder, data: ImageData) -> tuple[Float[Tensor, "row feature"], Int[Tensor, " row"]]:
    """Return embeddings of noisy copies of validation images, and the index in the data set of the image of each row.

    A copy is (1 - a) x + a n, with n uniform noise per pixel and channel, and a uniform in [0, 1/2]: from clean to half noise, so
    that every head makes errors. Noise and a depend on image and copy alone, hence the same for all models and heads. At most 500
    images, evenly spaced.
    """
    members = data.indices("val")
    members = members[np.linspace(0, len(members) - 1, min(len(members), CALIBRATION_IMAGES)).round().astype(np.int64)]
    device = encoder.mean.device
    store, index = ImageStore(data.images, members, device), torch.from_numpy(members).to(device)

    def embedded(places: Tensor) -> Tensor:
        position, copy = places // CALIBRATION_COPIES, places % CALIBRATION_COPIES
        clean, keys = store.take(position), index[position] + (copy << 40)
        share = MOST_NOISE * keyed_uniform(key_of("calibration share"), keys, 1)[:, :, None, None].to(clean)
        noise = keyed_uniform(key_of("calibration noise"), keys, clean[0].numel()).view(clean.shape).to(clean)
        return encoder((1 - share) * clean + share * noise)

    places = torch.arange(len(members) * CALIBRATION_COPIES, device=device)
    rows = torch.cat(in_chunks(embedded, places, at_once("embedded", data.images.shape), "calibration"))
    return rows.cpu(), index[places // CALIBRATION_COPIES].cpu()


def _check_classes(data: ImageData) -> None:
    """Raise ClxaiError if a class has no training image: no head could score it."""
    counts = np.bincount(data.labels[data.indices("train")], minlength=data.n_classes)
    absent = [name for name, count in zip(data.class_names, counts, strict=True) if not count]
    if absent:
        raise ClxaiError(f"{data.name}: no training image of class {', '.join(absent[:5])}: raise limit.train of the data set")
