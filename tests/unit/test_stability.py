"""Stability: noise within its radius, changes against closed forms, and the control that no noise moves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.errors import ClxaiError
from clxai.heads.affine import Softmax
from clxai.measures.stability import COLUMNS, MEASURES, measures_of, stability_table
from clxai.planning import params
from clxai.planning.stability import check_stability
from clxai.stability.measuring import map_changes, measure_stability, order_correlation
from clxai.stability.noisy import noisy, noisy_images
from clxai.units.base import cut_images
from clxai.units.removal import rank_units
from project import changed, filled_config, flat_encoder, grid
from scipy.stats import spearmanr

RADIUS, DRAWS = 0.04, 3
UNITS = grid(4)


def told(name, seed=5):
    return {"method_name": name, "options": {}, "seed": seed}


def measured(run, name):
    return measure_stability(run, told(name), UNITS, RADIUS, DRAWS, 0)


@pytest.fixture(scope="module")
def linear(few):
    """A linear network: the embedding is the image, and the log-odds of one of two classes are affine in it."""
    encoder = flat_encoder(few.encoder.architecture)
    weight = torch.randn(2, 256, generator=torch.Generator().manual_seed(0))
    head = Softmax({"weight": weight, "bias": torch.zeros(2)})
    embeddings = few.all_embeddings.new_zeros(len(few.all_embeddings), 256)
    embeddings[few.index] = encoder(few.images)
    return replace(few, encoder=encoder, heads={"softmax": head}, all_embeddings=embeddings)


def test_noise_is_uniform_within_the_radius_and_stays_in_the_range_of_pixels():
    images = torch.full((40, 1, 16, 16), 0.5)
    moved = noisy_images(images, torch.arange(40), RADIUS, 0, 0) - images
    assert moved.abs().max() <= RADIUS + 1e-7
    assert float(moved.mean()) == pytest.approx(0, abs=RADIUS / 50)
    assert float(moved.std()) == pytest.approx(RADIUS / 3**0.5, rel=0.02)
    edge = noisy_images(torch.zeros(4, 1, 16, 16), torch.arange(4), RADIUS, 0, 0)
    assert edge.min() == 0 and float((edge == 0).float().mean()) == pytest.approx(0.5, abs=0.1)


def test_noise_is_that_of_draw_seed_and_image_whatever_is_beside_it():
    images, index = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([9, 4, 7, 1, 3])
    whole = noisy_images(images, index, RADIUS, 2, 1)
    assert torch.equal(whole[1:3], noisy_images(images[1:3], index[1:3], RADIUS, 2, 1))
    for draw, seed in ((1, 1), (2, 0)):
        assert not torch.equal(whole, noisy_images(images, index, RADIUS, draw, seed))


def test_run_looks_at_its_images_with_noise_and_at_all_others_as_they_are(few):
    moved = noisy(few, RADIUS, 0, 0)
    torch.testing.assert_close(moved.images, noisy_images(few.images, few.index, RADIUS, 0, 0), rtol=0, atol=1e-6)
    torch.testing.assert_close(moved.embeddings, few.encoder(moved.images), rtol=1e-4, atol=1e-5)
    others = few.at(few.data.indices("train")[:4])
    assert torch.equal(moved.at(others.index.numpy()).images, others.images)
    assert torch.equal(moved.at(others.index.numpy()).embeddings, others.embeddings)
    backwards = moved.at(few.index.numpy()[::-1].copy())
    assert torch.equal(backwards.images, moved.images.flip(0))


def test_integrated_gradients_of_a_linear_network_move_as_its_weights_say(linear):
    """Its map is w (x - b) in normalised pixels, so it moves by w times the noise; the log-odds by w . noise."""
    found, std = measured(linear, "integrated_gradients"), float(linear.encoder.std)
    head = linear.heads["softmax"]
    target = head.predict(linear.embeddings)
    weight = (head.weight[target] - head.weight[1 - target]).double()
    clean, moved = linear.images.double().flatten(1), []
    for draw in range(DRAWS):
        noise = noisy_images(linear.images, linear.index, RADIUS, draw, 5).double().flatten(1) - clean
        length = (weight * (clean - float(linear.encoder.mean))).norm(dim=1)
        moved.append((weight * noise).norm(dim=1) / length)
        np.testing.assert_allclose(found["change"][0, :, draw], moved[-1], rtol=1e-3)
        np.testing.assert_allclose(found["output_change"][0, :, draw], (weight * noise).sum(1).abs() / std, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found["distance"][:, draw], noise.norm(dim=1), rtol=1e-5)
    assert (found["same_prediction"] == 1).all()
    # Average sensitivity as Quantus 0.6.0 defines it: the mean over noise of the norm of a(x) - a(x + e) over that of a(x).
    np.testing.assert_allclose(measures_of(found)["average_sensitivity"][0], torch.stack(moved).mean(dim=0), rtol=1e-3)


def test_gradient_of_a_linear_network_is_constant(linear):
    """Its map never moves: the most stable of all, whatever it is worth."""
    found = measures_of(measured(linear, "saliency"))
    np.testing.assert_allclose(found["max_sensitivity"], 0, atol=1e-5)
    np.testing.assert_allclose(found["lipschitz"], 0, atol=1e-5)


def test_a_map_that_is_drawn_by_image_is_perfectly_stable(few):
    """The control: no noise moves the random map, so that stability alone would prefer it to every explanation."""
    control, explained = (measures_of(measured(few, name)) for name in ("random", "saliency"))
    for name, better in MEASURES.items():
        known = np.isfinite(explained[name])  # of an image whose prediction some draw leaves as it is
        assert known.mean() > 0.5
        assert (control[name][known] == (better > 0)).all()
        assert (better * explained[name][known] < better * control[name][known]).all()


def test_numbers_do_not_depend_on_the_images_beside(few):
    whole, part = measured(few, "saliency"), measured(few.at(few.index[1:].numpy()), "saliency")
    for name in whole:
        np.testing.assert_allclose(part[name], whole[name].sel(image=part["image"]), rtol=1e-3, atol=1e-5)


def test_changes_of_maps_in_closed_form():
    own = torch.tensor([[[[3.0, 4.0]], [[0.0, 0.0]], [[0.0, 0.0]], [[1.0, 0.0]]]])
    other = torch.tensor([[[[3.0, 9.0]], [[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 2.0]]]])
    found = map_changes(own, other)
    np.testing.assert_allclose(found["change"], [[1.0, 0.0, np.nan, 5**0.5]])
    turned = np.linalg.norm(np.array([3, 4]) / 5 - np.array([3, 9]) / 90**0.5)
    np.testing.assert_allclose(found["turn"], [[turned, 0.0, np.nan, 2**0.5]], rtol=1e-6)


def test_order_correlation_is_spearmans_of_the_ranks_of_units():
    draws = torch.Generator().manual_seed(1)
    one, two = torch.randn(2, 4, 8, 8, generator=draws)
    cut, index = cut_images("grid", {"height": 2, "width": 2}, torch.zeros(4, 1, 8, 8)), torch.arange(4)
    ranks = [rank_units(cut.scores(maps), index, 0)[0].numpy() for maps in (one, two)]
    expected = [spearmanr(*pair).statistic for pair in zip(*ranks, strict=True)]
    np.testing.assert_allclose(order_correlation(one, two, cut, index, 0), expected)
    flat = torch.zeros(4, 8, 8)
    np.testing.assert_allclose(order_correlation(flat, flat + 1, cut, index, 0), 1)  # both in the random order of their image


def invented(change, same):
    """What one head and two images have, in three draws."""
    drawn = ("head", "image", "draw")
    values = {name: (drawn, np.array([change])) for name in ("change", "turn", "rank_correlation", "output_change")}
    values |= {"same_prediction": (drawn, np.array([same], np.int8)), "log_odds": (("head", "image"), [[2.0, 2.0]])}
    values["distance"] = (("image", "draw"), np.full((2, 3), 0.5))
    return xarray.Dataset(values, coords={"head": ["knn"]}, attrs={"radius": RADIUS})


def test_draws_that_change_the_prediction_are_left_out():
    found = measures_of(invented([[0.1, 0.2, 0.9], [0.3, 0.4, 0.5]], [[1, 1, 0], [0, 0, 0]]))
    assert {name: values[0, 0] for name, values in found.items()} == pytest.approx(
        {
            "max_sensitivity": 0.2,
            "average_sensitivity": 0.15,
            "lipschitz": 0.4,
            "per_output": 2.0,
            "rank_mean": 0.15,
            "rank_worst": 0.1,
        }
    )
    assert all(np.isnan(values[0, 1]) for values in found.values())


SRG = {"model": "ce", "units": "grid", "method": "lrp", "explained_by": "knn", "scored_by": "knn", "metric": "srg_matched"}
WORTH = {"mean": 0.4, "ci_low": 0.3, "ci_high": 0.5}


def test_stability_never_stands_without_the_srg_of_the_same_maps():
    runs = [
        ({"model": "ce", "seed": seed, "units": "grid", "method": "lrp"}, invented([[0.1, 0.2, 0.3 + seed]] * 2, [[1, 1, 1]] * 2))
        for seed in (0, 1)
    ]
    summary = pd.DataFrame([{**SRG, **WORTH, "fill": "mean"}, {**SRG, **WORTH, "fill": "zero", "mean": 0.0}])
    table = stability_table(runs, summary, "mean")
    assert list(table.columns) == list(COLUMNS) and table["measure"].tolist() == list(MEASURES)
    row = table.set_index("measure").loc["max_sensitivity"]
    assert (row["mean"], row["srg"], row["srg_ci_low"], row["srg_ci_high"]) == pytest.approx((0.8, 0.4, 0.3, 0.5))
    assert (row["draws"], row["radius"], row["discarded"], row["n_seeds"], row["n_images"]) == (3, RADIUS, 0, 2, 2)
    with pytest.raises(ClxaiError, match="stability of ce, grid, lrp, knn: the summary has no srg_matched with fill blur"):
        stability_table(runs, summary, "blur")


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("occlusion", None, "'occlusion' must be one of study.methods, so that its SRG stands beside: random"),
        (
            "lent",
            {"method": "borrowed", "of": "lrp", "seed": "next"},
            "'lent' is made of other maps, and none is kept for images with noise",
        ),
        ("second", {"method": "wrong_class", "of": "lrp"}, "'second' is made of other maps"),
        ("lime", {}, "'lime' is made of a mask bank"),
    ],
)
def test_methods_whose_maps_are_not_made_of_the_image_alone_are_refused(name, entry, message):
    config = changed(filled_config(), {"stability.methods": [name]})
    if entry is not None:
        config["methods"][name] = entry
        config["study"]["methods"].append(name)
    with pytest.raises(ClxaiError, match=f"stability.methods: {message}"):
        check_stability(config)


def test_job_is_told_what_attribute_is_told(config):
    from types import SimpleNamespace

    config["stability"] = {"methods": ["lrp"], "radius": 0.02, "draws": 4}
    job = SimpleNamespace(model="ce", seed="1", units="grid", sample="evaluation", method="lrp", dataset="digits")
    found = params.measure_stability(config, job)
    assert found["method"] == params.attribute(config, job)
    assert (found["radius"], found["draws"], found["seed"]) == (0.02, 4, config["study"]["seed"])
    assert params.summarise_stability(config, None)["methods"] == ["lrp"]
