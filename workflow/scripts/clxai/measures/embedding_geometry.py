"""The shape of embeddings: how far classes have collapsed, how their means stand, how points are spread over the unit sphere.

Embeddings are [image, feature], labels [image] are whole numbers; classes that have no image are left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.errors import ClxaiError

_TEMPERATURE = 2.0  # t of the uniformity


class Simplex(NamedTuple):
    """How far class means are from a simplex equiangular tight frame: three numbers that are 0 for one.

    `norms`: the coefficient of variation of the distances of class means to their mean. `angles`: the standard deviation of the
    cosines between these, over pairs of classes. `width`: the mean of abs(cosine + 1 / (C - 1)) over pairs.
    """

    norms: float
    angles: float
    width: float


def variability(embeddings: Float[ndarray, "image feature"], labels: Int[ndarray, " image"]) -> float:
    """Return NC1, tr(S_W S_B^+) / C: the spread within classes relative to that of class means [Papyan et al. 2020, section 2.2].

    S_W is the mean over images of (z - mu_c)(z - mu_c)', S_B the mean over classes of (mu_c - mu)(mu_c - mu)' with mu the mean of
    the class means. At least 0, and 0 where each class is one point; it does not depend on the scale of the embeddings.

    Raises ClxaiError if there are fewer than two classes or all class means are the same.
    """
    means, own = _class_means(embeddings, labels)
    _, size, directions = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    kept = size > size[0] * max(means.shape) * np.finfo(np.float64).eps
    if not kept.any():
        raise ClxaiError("neural collapse is not defined: the classes have one and the same mean")
    # In the directions of the class means alone the inverse is defined, and there it is diagonal: C / size^2.
    within = np.square((embeddings - means[own]) @ directions[kept].T).mean(axis=0)
    return float((within / np.square(size[kept])).sum())


def simplex(embeddings: Float[ndarray, "image feature"], labels: Int[ndarray, " image"]) -> Simplex:
    """Return NC2, how far the class means are from a simplex [Papyan et al. 2020, section 2.2].

    Raises ClxaiError if there are fewer than two classes or a class mean is that of all classes.
    """
    means, _ = _class_means(embeddings, labels)
    centred = means - means.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1)
    if (norms == 0).any():
        raise ClxaiError("neural collapse is not defined: the mean of a class is that of all classes")
    units = centred / norms[:, None]
    cosines = (units @ units.T)[np.triu_indices(len(units), 1)]
    return Simplex(
        norms=float(norms.std() / norms.mean()),
        angles=float(cosines.std()),
        width=float(np.abs(cosines + 1 / (len(units) - 1)).mean()),
    )


def alignment(embeddings: Float[ndarray, "image feature"], labels: Int[ndarray, " image"]) -> float:
    """Return the mean of |u - v|^2 over all pairs of images of one class, u and v unit embeddings, in [0, 4].

    That is Wang and Isola [2020, section 4.1] with alpha = 2, where a positive pair is two images of a class, not two views of an
    image. 0: each class is one point. Raises ClxaiError if no class has two images.
    """
    units, (_, own) = _unit(embeddings), np.unique(labels, return_inverse=True)
    sizes, sums = np.bincount(own).astype(np.float64), _sums(units, own)
    pairs = (sizes * (sizes - 1) / 2).sum()
    if pairs == 0:
        raise ClxaiError("alignment is not defined: no class has two images")
    # The sum of u.v over the pairs of a class is (|sum u|^2 - n) / 2.
    return float(2 - (np.square(sums).sum(axis=1) - sizes).sum() / pairs)


def uniformity(embeddings: Float[ndarray, "image feature"]) -> float:
    """Return log mean exp(-2 |u - v|^2) over all pairs of images, u and v unit embeddings [Wang, Isola 2020, section 4.1].

    In [-8, 0]; 0: all at one point, lower: more evenly spread over the sphere. Raises ClxaiError for fewer than two images.
    """
    from scipy.spatial.distance import pdist
    from scipy.special import logsumexp

    if len(embeddings) < 2:
        raise ClxaiError(f"uniformity needs two images. Got {len(embeddings)}")
    squares = pdist(_unit(embeddings), "sqeuclidean")
    return float(logsumexp(-_TEMPERATURE * squares) - np.log(len(squares)))


def geometry(embeddings: Float[ndarray, "image feature"], labels: Int[ndarray, " image"]) -> dict[str, float]:
    """Return all of these by name, and the silhouette of the classes by cosine, in [-1, 1] [Rousseeuw 1987]; 1: well apart.

    Raises ClxaiError where one of them is not defined.
    """
    from sklearn.metrics import silhouette_score

    collapse = simplex(embeddings, labels)
    return {
        "nc1": variability(embeddings, labels),
        **{f"nc2_{name}": value for name, value in collapse._asdict().items()},
        "alignment": alignment(embeddings, labels),
        "uniformity": uniformity(embeddings),
        "silhouette": float(silhouette_score(embeddings, labels, metric="cosine")),
    }


def _class_means(embeddings: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """Return the mean embedding of each class that has images, float64, and the place of each image's class among them."""
    _, own = np.unique(labels, return_inverse=True)
    if own.max(initial=0) < 1:
        raise ClxaiError("neural collapse is not defined: it needs images of two classes")
    return _sums(embeddings, own) / np.bincount(own)[:, None], own


def _sums(embeddings: ndarray, own: ndarray) -> ndarray:
    """Return the sum of the embeddings of each class, float64."""
    sums = np.zeros((own.max() + 1, embeddings.shape[1]))
    np.add.at(sums, own, embeddings)
    return sums


def _unit(embeddings: ndarray) -> ndarray:
    """Return the embeddings divided by their norms, float64."""
    wide = embeddings.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
