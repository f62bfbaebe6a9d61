"""Linear probes: what can be read off the layers of a network, and how much of that takes training."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.analyses.activations import layer_means, pixels_of
from clxai.analyses.base import Payload, View, analysis
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.networks.inference import Encoder
from clxai.networks.models import Network

PIXELS, UNTRAINED = "pixels", "untrained {}"
TASKS = ("class", "control")
MOST_STEPS = 2000


@analysis(
    "probes",
    payload="table",
    scope="local",
    families=("concept",),
    seeding="keyed",
    unseen=True,
    options={"layers": (), "pool": 1000, "dimensions": 32, "C": 1.0, "clusters": 50},
    at_most={"pool": "training_images", "clusters": "training_images"},
    at_least={"dimensions": 1, "clusters": 2, "pool": 20},
    gives={
        "accuracy": {"axes": ("features", "task", "image"), "unit": "1"},
        "selectivity": {"axes": ("features", "image"), "unit": "1"},
        "over_untrained": {"axes": ("layer", "image"), "unit": "1"},
        "over_pixels": {"axes": ("layer", "image"), "unit": "1"},
    },
)
def probes(view: View, options: Mapping[str, Any]) -> Payload:
    """Whether logistic regression on a layer's spatial means names the class of an image that it was not fitted on.

    Fitted on `pool` training images, standardised and reduced to the same number of principal components for all features: those
    of the trained network, of one with its first weights, and the pixels. The task `control` has random labels, one for each of
    `clusters` clusters of the pixels, drawn with the shares of the classes [Hewitt, Liang 2019]; `selectivity` is accuracy less
    that of the control. `over_untrained` and `over_pixels` are the accuracy less that of both floors.
    """
    run, layers = view.run, options["layers"]
    pool = view.training("probes", options["pool"])
    sample = run.index.cpu().numpy()
    labels = _labels(view, pool, sample, options["clusters"])
    fitted = dict(_features(view, pool, layers))
    judged = dict(_features(view, sample, layers))
    size = min(options["dimensions"], len(pool) - 1, *(values.shape[1] for values in fitted.values()))
    right = np.stack(
        [np.stack([_right(fitted[name], judged[name], *labels[task], size, options["C"]) for task in TASKS]) for name in fitted]
    )
    place = {name: number for number, name in enumerate(fitted)}
    own = right[[place[layer] for layer in layers], 0]
    floor = right[[place[UNTRAINED.format(layer)] for layer in layers], 0]
    values = {"accuracy": right, "selectivity": right[:, 0] - right[:, 1]}
    values |= {"over_untrained": own - floor, "over_pixels": own - right[place[PIXELS], 0]}
    return Payload(values, {"features": list(fitted), "task": TASKS, "layer": layers})


def _features(
    view: View, index: Int[ndarray, " item"], layers: list[str]
) -> Iterator[tuple[str, Float[ndarray, "item feature"]]]:
    """Yield the features of images by name: layers, the same without training, pixels."""
    yield from layer_means(view.run.encoder, view.run, index, layers).items()
    for layer, values in layer_means(untrained(view.run.encoder, view.seed), view.run, index, layers).items():
        yield UNTRAINED.format(layer), values
    yield PIXELS, pixels_of(view.run, index)


def untrained(encoder: Encoder, seed: int) -> Encoder:
    """Return a network of the same architecture with first weights, keyed by the seed; the global generator is left alone."""
    device = encoder.mean.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of("untrained", seed))
        return Encoder(Network(encoder.architecture).eval()).to(device)


def _labels(
    view: View, pool: Int[ndarray, " item"], sample: Int[ndarray, " image"], n_clusters: int
) -> dict[str, tuple[Int[ndarray, " item"], Int[ndarray, " image"]]]:
    """Return the labels of both tasks, of the training images and of those that are judged."""
    from sklearn.cluster import KMeans

    known = view.run.data.labels
    seed = key_of("probes", view.seed)
    clusters = KMeans(min(n_clusters, len(pool)), n_init=1, random_state=seed % 2**32).fit(pixels_of(view.run, pool))
    drawn = np.random.default_rng(seed).choice(known[pool], clusters.n_clusters)
    judged = clusters.predict(pixels_of(view.run, sample))
    control = drawn[clusters.labels_]
    if len(np.unique(control)) < 2:
        raise ClxaiError(f"probes: all {clusters.n_clusters} clusters drew the same label: raise `clusters`")
    return {"class": (known[pool], known[sample]), "control": (control, drawn[judged])}


def _right(
    fitted: Float[ndarray, "item feature"],
    judged: Float[ndarray, "image feature"],
    labels: Int[ndarray, " item"],
    expected: Int[ndarray, " image"],
    size: int,
    strength: float,
) -> Float[ndarray, " image"]:
    """Return 1 for each image whose label a probe names, else 0. Raises ClxaiError if it does not converge."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = LogisticRegression(C=strength, max_iter=MOST_STEPS)
    reduced = PCA(size, svd_solver="full")
    found = make_pipeline(StandardScaler(), reduced, probe).fit(fitted, labels).predict(judged) == expected
    if probe.n_iter_.max() >= probe.max_iter:
        raise ClxaiError(f"probes: a probe did not converge in {probe.max_iter} iterations: lower `C`. Got {strength:g}")
    return found.astype(float)
