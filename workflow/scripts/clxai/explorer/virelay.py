"""Projects for ViRelAy 0.6: the maps of one trained run, one project for each method and head.

The files are as ViRelAy documents them (its contributor's guide, database specification and project file format) where its loader
agrees with that, and as its loader reads them where not: an analysis has a group `cluster`, and embeddings and clusterings are
arrays, not groups. Images are uint8, since of others the loader guesses the range. It sums attributions over the channels: each
of the three holds a third of the map.

    dataset.h5, label-map.json
    {method}/{head}/project.yaml, attribution.h5, analysis.h5
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from scipy.sparse.csgraph import laplacian
from sklearn.cluster import KMeans
from sklearn.neighbors import kneighbors_graph

from clxai.errors import ClxaiError
from clxai.figures.style import title
from clxai.runtime.artefacts import atomic, write_text

DATASET, LABELS = "dataset.h5", "label-map.json"
CHANNELS = 3
NEIGHBOURS, EIGENVALUES, CLUSTERS = 10, 8, (2, 3, 4, 5)  # of the spectral analysis of maps


@dataclass(frozen=True)
class Shown:
    """Images and classes that projects share, and where the network embeds the images in the plane of its training images."""

    name: str
    images: UInt8[ndarray, "image channel y x"]
    labels: Int[ndarray, " image"]
    classes: Sequence[str]
    plane: Float[ndarray, "image 2"]


@dataclass(frozen=True)
class Explained:
    """What one method says of one head: maps, the classes that they explain, and the head's scores."""

    model: str
    method: str
    head: str
    maps: Float[ndarray, "image y x"]
    targets: Int[ndarray, " image"]
    scores: Float[ndarray, "image class"]


def export(shown: Shown, explained: Iterable[Explained], folder: str | Path) -> list[Path]:
    """Write the projects of one trained run into a folder and return their project files.

    Raises ClxaiError if there are fewer images than the analysis needs.
    """
    folder = Path(folder)
    if len(shown.images) <= max(CLUSTERS):
        least = max(CLUSTERS) + 1
        raise ClxaiError(f"samples: a ViRelAy project needs at least {least} images to cluster. Got {len(shown.images)}")
    _write_arrays({"data": _coloured(shown.images), "label": shown.labels.astype(np.uint16)}, folder / DATASET)
    names = [{"index": number, "word_net_id": category(number), "name": name} for number, name in enumerate(shown.classes)]
    write_text(json.dumps(names, indent=2, ensure_ascii=False), folder / LABELS)
    return [_project(shown, one, folder / one.method / one.head) for one in explained]


def category(label: int) -> str:
    """Return the name of a class as the key of an analysis; ViRelAy looks it up in the label map."""
    return f"class-{label:05d}"


def _project(shown: Shown, one: Explained, folder: Path) -> Path:
    """Write one project and return its file."""
    maps = np.nan_to_num(one.maps.astype(np.float32))
    attribution = {
        "index": np.arange(len(maps), dtype=np.uint32),
        "attribution": np.repeat(maps[:, None] / CHANNELS, CHANNELS, axis=1),
        "label": one.targets.astype(np.uint16),
        "prediction": one.scores.astype(np.float32),
    }
    _write_arrays(attribution, folder / "attribution.h5")
    _write_analysis(shown, one, maps, folder / "analysis.h5")
    height, width = maps.shape[1:]
    path = folder / "project.yaml"
    write_text(yaml.safe_dump({"project": _record(shown, one, height, width)}, sort_keys=False, allow_unicode=True), path)
    return path


def _record(shown: Shown, one: Explained, height: int, width: int) -> dict[str, Any]:
    up = "../.."
    dataset = {"name": shown.name, "type": "hdf5", "path": f"{up}/{DATASET}", "input_width": width, "input_height": height}
    attributions = {
        "attribution_method": title(one.method),
        "attribution_strategy": "predicted_label",
        "sources": ["attribution.h5"],
    }
    return {
        "name": f"{shown.name}: {title(one.model)}, {title(one.method)}, {title(one.head)}",
        "model": f"{title(one.model)}, head {title(one.head)}",
        "label_map": f"{up}/{LABELS}",
        "dataset": {**dataset, "up_sampling_method": "none", "down_sampling_method": "none"},
        "attributions": attributions,
        "analyses": [{"analysis_method": "Spectral analysis of maps, and embedding of the network", "sources": ["analysis.h5"]}],
    }


def _write_analysis(shown: Shown, one: Explained, maps: ndarray, path: Path) -> None:
    """Write embeddings and clusterings of all images, and of the classes with enough of them."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        everyone = np.arange(len(maps))
        groups = {"all": everyone, **{category(label): everyone[one.targets == label] for label in range(len(shown.classes))}}
        for name, rows in groups.items():
            if len(rows) > max(CLUSTERS):
                file[f"{name}/index"] = rows.astype(np.uint32)
                vectors, values = spectral(maps[rows].reshape(len(rows), -1))
                file[f"{name}/embedding/spectral"] = vectors.astype(np.float32)
                file[f"{name}/embedding/spectral"].attrs["eigenvalue"] = values.astype(np.float32)
                file[f"{name}/embedding/network"] = shown.plane[rows].astype(np.float32)
                for cluster, members in _clusterings(vectors, shown.labels[rows]).items():
                    file[f"{name}/cluster/{cluster}"] = members.astype(np.uint32)


def _clusterings(vectors: ndarray, labels: ndarray) -> Mapping[str, ndarray]:
    means = {f"kmeans-{k:02d}": KMeans(k, n_init=10, random_state=0).fit_predict(vectors) for k in CLUSTERS}
    return {**means, "true-class": labels}


def spectral(points: Float[ndarray, "image feature"]) -> tuple[Float[ndarray, "image eigenvalue"], Float[ndarray, " eigenvalue"]]:
    """Return a spectral embedding of points and its eigenvalues, the smallest first.

    Eigenvectors of the symmetric normalised Laplacian of the graph of nearest neighbours, two points joined if either is among
    the other's [Lapuschkin et al. 2019, SpRAy].
    """
    graph = kneighbors_graph(points, min(NEIGHBOURS, len(points) - 1))
    values, vectors = np.linalg.eigh(laplacian(graph.maximum(graph.T).toarray(), normed=True))
    return vectors[:, :EIGENVALUES], values[:EIGENVALUES]


def _coloured(images: UInt8[ndarray, "image channel y x"]) -> ndarray:
    """Return images with three channels, other numbers of them as their mean."""
    if images.shape[1] == CHANNELS:
        return images
    return np.repeat(images.mean(axis=1, keepdims=True).round().astype(np.uint8), CHANNELS, axis=1)


def _write_arrays(arrays: Mapping[str, ndarray], path: Path) -> None:
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        for name, array in arrays.items():
            file[name] = array
