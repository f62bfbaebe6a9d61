"""Measures of the shape of embeddings, against closed forms and independent computations."""

from itertools import combinations

import numpy as np
import pytest
from clxai.errors import ClxaiError
from clxai.measures.embedding_geometry import alignment, geometry, simplex, uniformity, variability
from scipy.special import hyp0f1


@pytest.fixture
def cloud():
    """Embeddings of four classes of different sizes, with more features than classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, 5], [4, 9, 6, 5])
    return rng.normal(size=(6, 7))[labels] * 2 + rng.normal(size=(24, 7)), labels


def frame(n_classes):
    """The corners of a simplex about 0, of norm 1."""
    centred = np.eye(n_classes) - 1 / n_classes
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def test_variability_of_two_classes_on_a_line_is_the_ratio_of_variances():
    """Means at +-a, points at +-s about them: s^2 / a^2, over two classes."""
    a, s = 3.0, 0.5
    embeddings = np.array([[a - s, 1.0], [a + s, 1.0], [-a - s, 1.0], [-a + s, 1.0]])
    assert variability(embeddings, np.array([0, 0, 1, 1])) == pytest.approx(s**2 / a**2 / 2)


def test_variability_is_the_trace_of_the_definition(cloud):
    embeddings, labels = cloud
    means = np.stack([embeddings[labels == label].mean(0) for label in np.unique(labels)])
    own = means[np.searchsorted(np.unique(labels), labels)]
    within = np.cov((embeddings - own).T, bias=True)
    between = np.cov(means.T, bias=True)
    expected = np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / len(means)
    assert variability(embeddings, labels) == pytest.approx(expected)


def test_variability_knows_no_scale_and_no_place(cloud):
    embeddings, labels = cloud
    assert variability(100 * embeddings + 7, labels) == pytest.approx(variability(embeddings, labels))


def test_collapsed_classes_on_a_simplex_are_0_in_all_of_neural_collapse():
    labels = np.repeat(np.arange(5), 3)
    embeddings = 2 * frame(5)[labels] + 1
    assert variability(embeddings, labels) == pytest.approx(0, abs=1e-20)
    assert simplex(embeddings, labels) == pytest.approx((0, 0, 0), abs=1e-12)


def test_simplex_of_an_orthogonal_cross_is_known_by_hand():
    """Means at +-x and +-2y: norms 1, 1, 2, 2 and cosines -1, -1 and four times 0; a simplex has -1/3."""
    embeddings = np.array([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
    found = simplex(embeddings, np.arange(4))
    assert found.norms == pytest.approx(0.5 / 1.5)
    assert found.angles == pytest.approx(np.std([-1, -1, 0, 0, 0, 0]))
    assert found.width == pytest.approx((2 * (2 / 3) + 4 * (1 / 3)) / 6)


def test_alignment_is_the_mean_over_pairs_of_a_class(cloud):
    embeddings, labels = cloud
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = [(i, j) for i, j in combinations(range(len(labels)), 2) if labels[i] == labels[j]]
    assert alignment(embeddings, labels) == pytest.approx(np.mean([np.square(units[i] - units[j]).sum() for i, j in pairs]))


def test_alignment_of_opposite_and_of_equal_points():
    assert alignment(np.array([[1.0, 0], [-3, 0]]), np.array([0, 0])) == pytest.approx(4)
    assert alignment(np.array([[1.0, 0], [3, 0], [0, 1]]), np.array([0, 0, 1])) == pytest.approx(0)


def test_uniformity_of_points_on_the_whole_sphere_is_that_of_its_measure():
    """E exp(-t |u - v|^2) = exp(-2t) 0F1(; d / 2; t^2) for independent uniform points of the unit sphere in d dimensions."""
    t, d = 2.0, 3
    points = np.random.default_rng(0).normal(size=(1500, d))
    assert uniformity(points) == pytest.approx(np.log(np.exp(-2 * t) * hyp0f1(d / 2, t**2)), abs=0.01)


def test_uniformity_of_opposite_and_of_equal_points():
    assert uniformity(np.array([[1.0, 0], [-2, 0]])) == pytest.approx(-8)
    assert uniformity(np.array([[1.0, 0], [2, 0], [3, 0]])) == pytest.approx(0)


def test_geometry_names_them_all(cloud):
    embeddings, labels = cloud
    found = geometry(embeddings, labels)
    assert found["nc1"] == variability(embeddings, labels)
    assert [found[f"nc2_{name}"] for name in ("norms", "angles", "width")] == list(simplex(embeddings, labels))
    assert found["alignment"] == alignment(embeddings, labels)
    assert found["uniformity"] == uniformity(embeddings)
    assert -1 < found["silhouette"] < 1


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: variability(np.ones((3, 2)), np.zeros(3, int)), "needs images of two classes"),
        (lambda: simplex(np.ones((3, 2)), np.zeros(3, int)), "needs images of two classes"),
        (lambda: variability(np.ones((4, 2)), np.array([0, 0, 1, 1])), "one and the same mean"),
        (lambda: simplex(np.array([[0.0], [1], [-1]]), np.arange(3)), "the mean of a class is that of all"),
        (lambda: alignment(np.eye(3), np.arange(3)), "no class has two images"),
        (lambda: uniformity(np.ones((1, 2))), "needs two images. Got 1"),
    ],
)
def test_what_is_not_defined_is_refused(measure, message):
    with pytest.raises(ClxaiError, match=message):
        measure()
