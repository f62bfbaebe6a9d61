"""Heads fitted on images in memory, with what flipping knows of these: the run that they make with a network and others."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from clxai.data.batches import ImageStore, in_unit_range
from clxai.data.datasets import ImageData, stratified_choice
from clxai.errors import ClxaiError, unknown_name
from clxai.heads.base import HEADS, Head
from clxai.heads.calibration import head_metrics
from clxai.heads.fitting import Labelled, disturbed_embeddings, heads_on
from clxai.keys import key_of
from clxai.names import SPLITS
from clxai.networks.embeddings import embed
from clxai.networks.inference import Encoder
from clxai.options import check_member
from clxai.runs import Run

UNKNOWN = -1  # the label of an image that is explained: nothing asks for it


@dataclass(frozen=True)
class FittedHeads(Mapping[str, Head]):
    """Heads of one network by name, with what flipping knows of the images that they were fitted on.

    `embeddings` [image, feature] are theirs, raw, on the network's device, `labels` [image] their classes, numbers from 0 in the
    order of `class_names`. `metrics` has accuracy and calibration on images that were not fitted, one row a head and split.
    `pixels` returns their images [image, channel, y, x], where they are known: the fill `nun` takes from them. `checkpoint` is
    the file of the network, where it has one.
    """

    heads: Mapping[str, Head]
    embeddings: Float[Tensor, "image feature"]
    labels: Int[Tensor, " image"]
    class_names: tuple[str, ...]
    metrics: pd.DataFrame
    pixels: Callable[[], np.ndarray] | None = None
    checkpoint: str = ""

    @classmethod
    def of(cls, run: Run, metrics: pd.DataFrame) -> "FittedHeads":
        """Return the heads of a training of a study."""
        return cls(
            run.heads,
            *run.training_bank(),
            class_names=run.data.class_names,
            metrics=metrics,
            pixels=lambda: run.data.images[run.data.indices("train")],
            checkpoint=run.checkpoint,
        )

    def __getitem__(self, name: str) -> Head:
        if name not in self.heads:
            raise unknown_name("head", name, self.heads)
        return self.heads[name]

    def __contains__(self, name: object) -> bool:
        return name in self.heads

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def only(self, *names: str) -> "FittedHeads":
        """Return the same with these heads alone. Raises ClxaiError on an unknown name."""
        return replace(self, heads={name: self[name] for name in names})

    def run(self, network: nn.Module, images: Tensor, with_training: bool = False) -> Run:
        """Return the run of a network with these heads that looks at images in memory, numbered from 0.

        `with_training` says whether the pixels of the training images are needed. Raises ClxaiError if they are and are not
        known, if the images are not for the network, and if the heads are of another network.
        """
        network = taken(network)
        shown = pixels_of(network, images)
        if with_training and self.pixels is None:
            raise ClxaiError("a fill or a method needs the training images: fit the heads on images instead of embeddings")
        own = _embedded(network, shown)
        if own.shape[1] != self.embeddings.shape[1]:
            found, expected = own.shape[1], self.embeddings.shape[1]
            raise ClxaiError(
                f"the network gives {found} features, the heads were fitted on {expected}: they are of another network"
            )
        labels = np.concatenate([np.full(len(shown), UNKNOWN), self.labels.cpu().numpy()])
        split = np.repeat([SPLITS.index("test"), SPLITS.index("train")], [len(shown), len(self.labels)])
        stored = np.concatenate([_unit_range(part) for part in (shown, self.pixels())]) if with_training else shown
        data = _data_of(network, stored, labels, split, self.class_names)
        together = torch.cat([own, self.embeddings.to(own)])
        return Run(data, network, self.checkpoint, self.heads, together, torch.arange(len(shown), device=own.device))


def fitted_on(
    network: Encoder,
    images: Tensor,
    labels: Int[np.ndarray, " image"],
    options: Mapping[str, Mapping[str, Any]],
    held: Int[np.ndarray, " held"],
    class_names: Sequence[str],
) -> FittedHeads:
    """Return heads fitted on labelled images, or on their embeddings, but for those that are `held` out for the temperature.

    `options` of each head by name, `head` among them the registered one. Raises ClxaiError if a head cannot be fitted.
    """
    pixels = None if images.ndim == 2 else pixels_of(network, images)
    embeddings = images.detach().float().cpu() if pixels is None else _embedded(network, pixels).cpu()
    if not torch.isfinite(embeddings).all():
        raise ClxaiError("embeddings are not finite")
    split = np.full(len(labels), SPLITS.index("train"))
    split[held] = SPLITS.index("val")
    kept, target = np.flatnonzero(split == SPLITS.index("train")), torch.from_numpy(labels)
    bank, clean = (Labelled(embeddings[rows], target[rows], torch.from_numpy(rows)) for rows in (kept, held))
    data = None if pixels is None else _data_of(network, pixels, labels, split, class_names)
    classifier = None if network.classifier is None else copy.deepcopy(network.classifier).cpu()
    fitted = heads_on(bank, clean if data is None else _disturbed(network, data), options, len(class_names), classifier)
    rows = [{"head": name, "split": "val", **head_metrics(head, clean.embeddings, clean.labels)} for name, head in fitted.items()]
    device = network.mean.device
    return FittedHeads(
        heads={name: head.to(device).requires_grad_(False) for name, head in fitted.items()},
        embeddings=bank.embeddings.to(device),
        labels=bank.labels.to(device),
        class_names=tuple(class_names),
        metrics=pd.DataFrame(rows),
        pixels=None if pixels is None else lambda: pixels[kept],
    )


def taken(network: Any) -> Encoder:
    """Return a network that is one of this library. Raises ClxaiError, saying how it becomes one, if it is not."""
    if not isinstance(network, Encoder):
        raise ClxaiError(f"the network must be what clxai.as_network(module, images, ...) returns. Got {type(network).__name__}")
    return network


def head_options(
    heads: Sequence[str] | Mapping[str, Mapping[str, Any]], network: Encoder, n_classes: int
) -> dict[str, dict[str, Any]]:
    """Return the options of each head by its name, the registered head among them.

    Raises ClxaiError on an unknown head or option, and on a head that needs a classifier which the network lacks or has for other
    classes.
    """
    given = {name: dict(heads[name] if isinstance(heads, Mapping) else {}) for name in heads}
    for name, own in given.items():
        entry = HEADS[own.setdefault("head", name)]
        check_member(entry, {key: value for key, value in own.items() if key != "head"})
        found = None if network.classifier is None else network.classifier.out_features
        if entry.semantics["needs_classifier"] and found != n_classes:
            words = "has none" if found is None else f"has one for {found} classes"
            raise ClxaiError(
                f"head {name!r} is the network's own classifier for the {n_classes} classes of the labels; it {words}"
            )
    return given


def classes_of(labels: Sequence[int] | np.ndarray | Tensor, n_images: int) -> Int[np.ndarray, " image"]:
    """Return labels as int64 [image]. Raises ClxaiError unless there is one whole number from 0 for each image."""
    found = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if found.shape != (n_images,) or found.dtype.kind not in "iu" or n_images == 0 or found.min() < 0:
        raise ClxaiError(
            f"labels must be whole numbers from 0, one for each of {n_images} images. Got {found.dtype} {found.shape}"
        )
    return found.astype(np.int64)


def held_out(labels: Int[np.ndarray, " image"], share: float, n_classes: int, seed: int) -> Int[np.ndarray, " held"]:
    """Return the images that are not fitted on: a share, drawn within classes.

    Raises ClxaiError if none is, and if a class is left without an image to fit on, or has none at all.
    """
    n_held = round(share * len(labels))
    if not 0 < n_held < len(labels):
        raise ClxaiError(f"validation must be a share of {len(labels)} images that is at least one and not all. Got {share}")
    held = stratified_choice(labels, n_held, np.random.default_rng(key_of("validation", seed)))
    counts = np.bincount(np.delete(labels, held), minlength=n_classes)
    if len(counts) != n_classes or not counts.all():
        absent = np.flatnonzero(counts == 0).tolist() or list(range(n_classes, len(counts)))
        raise ClxaiError(
            f"{n_classes} classes: {absent[:5]} have no image to fit on, or no name: give more images or lower validation"
        )
    return held


def pixels_of(network: Encoder, images: Tensor) -> Num[np.ndarray, "image channel y x"]:
    """Return images as they are stored: uint8, or float32 in [0, 1]. Raises ClxaiError unless they are for this network."""
    expected = (len(network.mean), *network.architecture.shape)
    if images.ndim != 4 or len(images) == 0 or tuple(images.shape[1:]) != expected:
        raise ClxaiError(
            f"images must be [image, channel, y, x] = [n, {', '.join(map(str, expected))}]. Got {list(images.shape)}"
        )
    return stored_pixels(images)


def stored_pixels(images: Tensor) -> Num[np.ndarray, "image channel y x"]:
    """Return images of any size as they are stored. Raises ClxaiError unless they are images, uint8 or float in [0, 1]."""
    if images.ndim != 4 or images.numel() == 0:
        raise ClxaiError(f"images must be [image, channel, y, x]. Got {list(images.shape)}")
    stored = images.detach().cpu()
    if stored.dtype == torch.uint8:
        return stored.numpy()
    low, high = float(stored.min()), float(stored.max())
    if not (stored.is_floating_point() and low >= 0 and high <= 1):
        raise ClxaiError(
            f"images must be floats in [0, 1], before normalisation, or uint8. Got {stored.dtype} from {low:.3g} to {high:.3g}"
        )
    return stored.float().numpy()


def _unit_range(pixels: np.ndarray) -> np.ndarray:
    """Return stored pixels as float32 in [0, 1]: images of two kinds can then lie in one array."""
    return in_unit_range(torch.from_numpy(pixels)).numpy()


def _embedded(network: Encoder, pixels: np.ndarray) -> Float[Tensor, "image feature"]:
    return embed(network, ImageStore(pixels, np.arange(len(pixels)), network.mean.device))


def _data_of(
    network: Encoder, pixels: np.ndarray, labels: np.ndarray, split: np.ndarray, class_names: Sequence[str]
) -> ImageData:
    """Return images in memory as a data set, with the statistics of the network."""
    mean, std = (tuple(getattr(network, name).flatten().tolist()) for name in ("mean", "std"))
    return ImageData("images", pixels, labels, split, tuple(class_names), mean, std)


def _disturbed(network: Encoder, data: ImageData) -> Labelled:
    """Return noisy copies of the images that are held out, as a study fits its temperatures on."""
    embeddings, owner = disturbed_embeddings(network, data)
    return Labelled(embeddings, torch.from_numpy(data.labels)[owner], owner)
