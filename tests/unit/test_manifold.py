"""Where embeddings move and whether they stay where clean images lie, on curves and clouds whose answer is known."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.explaining import explain
from clxai.flipping.curves import clean_limits, flip_curves, observer_of
from clxai.flipping.density import Density
from clxai.measures.metrics.base import Curves
from clxai.measures.metrics.manifold import off_manifold_share, srg_inside
from clxai.measures.metrics.places import towards
from project import grid
from torch.nn import functional

FRACTION = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SETTINGS = {
    "fills": ["mean"], "steps": 4, "units": grid(4), "seed": 0, "batch_size": 64, "precision": "float32", "trajectories": 2,
    "bank_k": 3,
}  # fmt: skip


class Given(Curves):
    """Quantities of one image by order, with the limit 0.5 of the bank distance."""

    def __init__(self, morf, lerf=None):
        self.quantities, self.fraction, self.spread = {"morf": morf, "lerf": lerf}, FRACTION, 2.0

    def __call__(self, quantity, order="morf"):
        return np.array(self.quantities[order][quantity])

    def outside(self, quantity, order="morf"):
        return (self(quantity, order) > 0.5).astype(float)


def test_share_of_the_curve_beyond_the_limit():
    """Half a step is outside on each side of the two points beyond the limit."""
    assert off_manifold_share(Given({"d": [0, 0.4, 0.6, 0.9, 0.5]}), "d") == pytest.approx(0.25 + 2 * 0.125)


def test_gain_inside_is_the_mean_gap_of_the_part_inside():
    """Both orders are inside over the first quarter alone: gaps of 0 and 0.6 at its ends, whatever comes later."""
    morf = {"p": [1, 0.2, 0, 0, 0], "bank_distance": [0.1, 0.2, 0.6, 0.7, 0.8]}
    lerf = {"p": [1, 0.8, 1, 1, 0], "bank_distance": [0.1, 0.2, 0.3, 0.4, 0.8]}
    assert srg_inside(Given(morf, lerf), "p") == pytest.approx(0.3)
    everywhere = {**morf, "bank_distance": [0.1] * 5}, {**lerf, "bank_distance": [0.1] * 5}
    assert srg_inside(Given(*everywhere), "p") == pytest.approx((0.6 + 1 + 1) / 4)


def test_gain_without_an_interval_inside_is_undefined():
    distance = {"bank_distance": [0.1, 0.9, 0.2, 0.9, 0.1], "p": [1, 1, 1, 1, 1]}
    assert np.isnan(srg_inside(Given(distance, distance), "p"))


def test_towards_is_the_mean_approach_in_mean_distances_of_centroids():
    assert towards(Given({"o": 4 - 2 * FRACTION}), "o") == pytest.approx(0.5)
    assert towards(Given({"o": 4 + 2 * FRACTION}), "o") == pytest.approx(-0.5)


def test_outside_is_undefined_where_the_distance_is(few):
    curves = flip_curves(few, explain(few, "random", {}, 0), SETTINGS)
    limit = curves.attrs["clean_relative_mahalanobis"]
    found = Curves(curves).outside("relative_mahalanobis", "lerf")
    np.testing.assert_array_equal(found[:, 0], curves["relative_mahalanobis"].sel(order="lerf") > limit)
    empty = curves.assign(relative_mahalanobis=curves["relative_mahalanobis"] * np.nan)
    assert np.isnan(Curves(empty).outside("relative_mahalanobis")).all()


def test_limits_are_what_19_of_20_clean_test_images_do_not_exceed(few):
    """By all pairs of unit embeddings."""
    units = functional.normalize(few.all_embeddings.double(), dim=1)
    test, train = (torch.from_numpy(few.data.indices(split)) for split in ("test", "train"))
    third = torch.cdist(units[test], units[train]).sort(dim=1).values[:, 2]
    limits = clean_limits(few, observer_of(few, 3))
    assert limits["clean_bank_distance"] == pytest.approx(np.quantile(third, 0.95), rel=1e-4)
    assert limits.keys() == {"clean_bank_distance", "clean_relative_mahalanobis"}


def test_limits_take_at_most_so_many_images_evenly_spaced(few, monkeypatch):
    monkeypatch.setattr("clxai.flipping.curves.CLEAN_IMAGES", 2)
    test = few.data.indices("test")
    both = observer_of(few, 3).distances(few.all_embeddings[torch.from_numpy(test[[0, -1]])])["bank_distance"]
    expected = np.quantile(both, 0.95)
    assert clean_limits(few, observer_of(few, 3))["clean_bank_distance"] == pytest.approx(expected, rel=1e-5)


def test_point_far_from_every_class_is_relatively_farther():
    """Four clusters on a circle; a point at the pole is far from each and from the plane in which they all lie."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.arange(4).repeat_interleave(50) * torch.pi / 2
    circle = torch.stack([angles.cos(), angles.sin(), torch.zeros(200)], dim=1)
    density = Density.of(circle + 0.05 * torch.randn(200, 3, generator=generator), torch.arange(4).repeat_interleave(50), 4)
    inside, between, pole = density(functional.normalize(torch.tensor([[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 1.0]]), dim=1))
    assert abs(inside) < 5
    assert between > 50
    assert pole.isfinite()


@pytest.mark.parametrize(
    ("bank", "words"),
    [
        (torch.eye(2), "2 training images for 2 classes"),
        (torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(5, 1), "the covariance of the training embeddings is singular"),
    ],
)
def test_collapsed_embeddings_leave_the_relative_distance_empty(bank, words, capsys):
    assert Density.of(bank, torch.arange(len(bank)) % 2, 2) is None
    assert capsys.readouterr().out == f"relative_mahalanobis stays empty: {words}\n"


def test_empty_density_and_projection_are_nan_in_the_file(few, monkeypatch):
    monkeypatch.setattr("clxai.flipping.curves.Density.of", lambda *given: None)
    curves = flip_curves(few, explain(few, "random", {}, 0), SETTINGS)
    assert np.isnan(curves["relative_mahalanobis"]).all()
    assert np.isnan(curves.attrs["clean_relative_mahalanobis"])
    assert np.isnan(curves["drift_projection"]).all()


def test_projection_drifts_by_the_network_s_own_projection(few):
    encoder = copy.deepcopy(few.encoder)
    encoder.projection = torch.nn.Sequential(torch.nn.Linear(encoder.n_features, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5))
    encoder.projection.requires_grad_(False)
    curves = flip_curves(replace(few, encoder=encoder), explain(few, "random", {}, 0), SETTINGS)
    path = curves["trajectory_embedding"].values[1, 0, 1, 0].astype(float)
    first, _, last = (part.state_dict() for part in encoder.projection)
    hidden = np.maximum(path @ first["weight"].numpy().T + first["bias"].numpy(), 0)
    projected = hidden @ last["weight"].numpy().T + last["bias"].numpy()
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    expected = np.linalg.norm(projected - projected[0], axis=1)
    np.testing.assert_allclose(curves["drift_projection"][1, 0, 1, 0], expected, rtol=1e-3, atol=1e-5)
    assert expected[-1] > 0.01
