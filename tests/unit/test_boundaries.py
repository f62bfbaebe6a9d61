"""Distances to boundaries and counterfactuals are closed forms that no other step undercuts; neighbours are scikit-learn's."""

import numpy as np
import pytest
import torch
from clxai.analyses.analysing import analyse
from clxai.analyses.boundaries import centroid_distance, nearest_boundary
from clxai.heads.affine import Linear, Softmax
from sklearn.neighbors import NearestNeighbors

AFFINE = ["softmax", "linear", "mahalanobis"]


@pytest.fixture(scope="module")
def found(tiny_run):
    return {name: analyse(tiny_run, name, {}, 0) for name in ("margin", "counterfactual", "nearest_unlike")}


def test_distance_is_the_margin_over_the_length_of_the_normal():
    """Three classes in the plane: x > 0, and the others by the sign of y."""
    head = Softmax({"weight": torch.tensor([[2.0, 0.0], [-1.0, 4.0], [-1.0, -4.0]]), "bias": torch.tensor([0.5, 0.0, 0.0])})
    boundary = nearest_boundary(head, torch.tensor([[3.0, 1.0], [-1.0, 2.0]]), torch.tensor([0, 1]))
    # s_0 - s_1 = 3 x - 4 y + 1/2, at (3, 1) 5.5, the normal 5 long; s_1 - s_0 = 10.5; s_1 - s_2 = 8 y
    torch.testing.assert_close(boundary.distance, torch.tensor([1.1, 2.0], dtype=torch.float64))
    assert boundary.beyond.tolist() == [1, 2]
    torch.testing.assert_close(boundary.embedding, torch.tensor([[3 - 0.66, 1 + 0.88], [-1.0, 0.0]], dtype=torch.float64))


def test_distance_on_the_sphere_is_the_angle_to_the_circle():
    """A cap of 60 degrees around x is class 0: from a point at 20 degrees the boundary is 40 degrees away, at the same norm."""
    head = Linear({"weight": torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), "bias": torch.tensor([0.0, 0.5])})
    at = np.deg2rad(20)
    clean = 3 * torch.tensor([[np.cos(at), np.sin(at), 0.0]]).float()
    boundary = nearest_boundary(head, clean, torch.tensor([0]))
    assert boundary.distance.item() == pytest.approx(np.deg2rad(40), abs=1e-6)
    expected = 3 * torch.tensor([[0.5, np.sqrt(0.75), 0.0]], dtype=torch.float64)
    torch.testing.assert_close(boundary.embedding, expected, rtol=1e-6, atol=1e-6)


def test_boundary_that_no_point_of_the_sphere_reaches_is_none():
    head = Linear({"weight": torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "bias": torch.tensor([3.0, 0.0])})
    boundary = nearest_boundary(head, torch.tensor([[1.0, 1.0]]), torch.tensor([0]))
    assert boundary.distance.isnan().all() and boundary.beyond.tolist() == [-1] and boundary.embedding.isnan().all()


@pytest.mark.parametrize("name", AFFINE)
def test_counterfactual_is_on_the_boundary_and_the_other_class_is_just_beyond(found, name):
    own = found["counterfactual"].sel(head=name)
    assert (own["residual"] < 1e-3).all() and (own["flips"] == 1).all()
    np.testing.assert_array_equal(own["class_reached"], found["margin"].sel(head=name)["beyond"])
    assert (own["class_reached"] != own["target"]).all()


@pytest.mark.parametrize("name", AFFINE)
def test_no_step_that_is_shorter_leaves_the_class(tiny_run, found, name):
    """4000 random directions of each image, at 0.98 of the distance, keep the prediction of the head itself."""
    head, clean = tiny_run.heads[name], tiny_run.embeddings[:5]
    reach = torch.from_numpy(found["margin"]["distance"].sel(head=name).values)
    draws = torch.Generator().manual_seed(0)
    for embedding, distance in zip(clean, reach[:5], strict=True):
        steps = torch.nn.functional.normalize(torch.randn(4000, len(embedding), generator=draws), dim=1)
        points = embedding + 0.98 * distance * steps
        if head.unit:
            unit = embedding / embedding.norm()
            across = torch.nn.functional.normalize(steps - (steps @ unit)[:, None] * unit, dim=1)
            points = torch.cos(0.98 * distance) * unit + torch.sin(0.98 * distance) * across
        assert (head.predict(points) == head.predict(embedding[None])).all()


@pytest.mark.parametrize("name", AFFINE)
def test_counterfactual_keeps_the_norm_where_it_does_not_count_and_is_as_far_as_the_margin(tiny_run, found, name):
    there = torch.from_numpy(found["counterfactual"]["embedding"].sel(head=name).values)
    clean, distance = tiny_run.embeddings, torch.from_numpy(found["margin"]["distance"].sel(head=name).values)
    if tiny_run.heads[name].unit:
        torch.testing.assert_close(there.norm(dim=1), clean.norm(dim=1), rtol=1e-4, atol=1e-4)
        cosine = torch.nn.functional.cosine_similarity(there.double(), clean.double())
        torch.testing.assert_close(cosine.clamp(-1, 1).arccos().float(), distance, rtol=0.01, atol=2e-3)
    else:
        torch.testing.assert_close((there - clean).norm(dim=1), distance, rtol=1e-3, atol=1e-4)


def test_margins_are_in_units_of_the_distance_of_centroids(tiny_run, found):
    bank, labels = tiny_run.training_bank()
    centroids = np.stack([bank[labels == label].numpy().mean(axis=0) for label in range(10)])
    distances = [np.linalg.norm(one - other) for place, one in enumerate(centroids) for other in centroids[:place]]
    assert float(centroid_distance(tiny_run.heads["softmax"], bank, labels, 10)) == pytest.approx(np.mean(distances), rel=1e-4)
    own = found["margin"].sel(head="softmax")
    np.testing.assert_allclose(own["relative"], own["distance"] / np.mean(distances), rtol=1e-4)


def test_distance_of_centroids_on_the_sphere_is_their_angle():
    head = Linear({"weight": torch.eye(2), "bias": torch.zeros(2)})
    bank = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    assert float(centroid_distance(head, bank, torch.tensor([0, 1]), 2)) == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("name", ["softmax", "linear", "knn", "mahalanobis"])
def test_neighbours_are_those_of_scikit_learn(tiny_run, found, name):
    head, (bank, labels) = tiny_run.heads[name], tiny_run.training_bank()
    items, classes, own = tiny_run.data.indices("train"), head.predict(bank).numpy(), found["nearest_unlike"].sel(head=name)
    there, here = head.coordinates(bank).double().numpy(), head.coordinates(tiny_run.embeddings).double().numpy()
    for place, target in enumerate(head.predict(tiny_run.embeddings).tolist()):
        expected = {}
        for word, chosen in (("like", classes == target), ("unlike", classes != target)):
            far, near = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(there[chosen]).kneighbors(here[place : place + 1])
            expected[word] = (far.item(), np.flatnonzero(chosen)[near.item()])
        assert own["neighbour"].values[place] == items[expected["unlike"][1]]
        assert own["neighbour_class"].values[place] == classes[expected["unlike"][1]] != target
        assert own["neighbour_label"].values[place] == labels[expected["unlike"][1]]
        ratio = expected["unlike"][0] / expected["like"][0]
        assert own["ratio"].values[place] == pytest.approx(ratio, rel=1e-4)


def test_image_is_no_neighbour_of_itself(tiny_run):
    """Of training images the nearest of the same class is another one, and the ratio is finite."""
    found = analyse(tiny_run.at(tiny_run.data.indices("train")[:8]), "nearest_unlike", {}, 0)
    assert (found["like_distance"] > 1e-6).all() and np.isfinite(found["ratio"]).all()
