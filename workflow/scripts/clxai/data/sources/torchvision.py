"""Classification sets of torchvision."""

from collections.abc import Callable, Mapping
from tarfile import TarError
from typing import Any

import numpy as np

from clxai.data.sources.base import Source, source
from clxai.data.torchvision_sets import NEEDS, check, chooser, root_of
from clxai.errors import ClxaiError


@source(
    "torchvision",
    needs=("name",),
    takes=("path", "arguments", "download"),
    planning="clxai.data.torchvision_sets",
)
def torchvision_set(config: Mapping[str, Any]) -> Source:
    """A torchvision classification set by class name, with its own train and test split; downloaded if `download`."""
    parts = [_torchvision_part(config, split) for split in ("train", "test")]
    name, start = config["name"], NEEDS[config["name"]].first_label(config["arguments"])
    images = [_reader_of(part, name) for part in parts]
    labels = [_labels_of(part, name) - start for part in parts]
    first = len(labels[0])
    classes = list(getattr(parts[0], "classes", ()))[start:] or range(start, start + 1 + max(int(part.max()) for part in labels))
    return Source(
        labels=np.concatenate(labels),
        split=np.repeat([0, 2], [len(part) for part in labels]),
        class_names=tuple(one if isinstance(one, str) else str(one[0] if isinstance(one, tuple) else one) for one in classes),
        read=lambda index: images[0](index) if index < first else images[1](index - first),
    )


def _torchvision_part(config: Mapping[str, Any], split: str) -> Any:
    name, root = config["name"], root_of(config)
    check(config, "datasets")
    import torchvision.datasets as sets

    chosen = {chooser(name): getattr(NEEDS[name], split)}
    if config["download"]:
        chosen["download"] = True
    try:
        return getattr(sets, name)(root, **config["arguments"], **chosen)
    except (ValueError, TypeError) as error:
        raise ClxaiError(f"torchvision set {name} with arguments {config['arguments']}: {error}") from error
    except (RuntimeError, OSError, TarError) as error:
        raise ClxaiError(f"torchvision set {name} in {root!r}: {error} (set `download: true` to fetch it)") from error


def _reader_of(part: Any, name: str) -> Callable[[int], np.ndarray]:
    """Return a reader of uint8 [y, x] or [y, x, channel] arrays: every torchvision set yields PIL images by index."""

    def read(index: int) -> np.ndarray:
        try:
            return np.asarray(part[index][0])
        except (OSError, ValueError) as error:
            raise ClxaiError(f"torchvision set {name}: image {index} cannot be read ({error})") from error

    return read


def _labels_of(part: Any, name: str) -> np.ndarray:
    """Return the labels of a part, int64, as the set counts its classes. Raises ClxaiError if any has none."""
    attribute = NEEDS[name].labels
    if attribute == "_FILES":
        return _labels_in_hdf5(part, name)
    values = getattr(part, attribute)
    if attribute == "_samples":
        values = [label for _, label in values]
    if any(value is None for value in values):
        raise ClxaiError(f"torchvision set {name}: images without labels; fetch the files that have those of the test part")
    labels = np.asarray(values).astype(np.int64)
    return labels if labels.ndim == 1 else labels[:, 0]


def _labels_in_hdf5(part: Any, name: str) -> np.ndarray:
    path = part._base_folder / part._FILES[part._split]["targets"][0]
    try:
        with part.h5py.File(path) as file:
            return np.asarray(file["y"]).reshape(-1).astype(np.int64)
    except (OSError, KeyError) as error:
        raise ClxaiError(f"torchvision set {name}: {path}: labels cannot be read ({error})") from error
