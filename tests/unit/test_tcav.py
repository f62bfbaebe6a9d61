"""TCAV against closed forms, its null against what it promises, and concepts that are planted in the data."""

import re

import numpy as np
import pytest
import torch
from clxai.analyses.activations import layer_means, mean_slopes
from clxai.analyses.analysing import analyse
from clxai.analyses.base import View
from clxai.analyses.concepts import drawn, shows
from clxai.analyses.tcav import _directions, _held_out, _random_sides, _tested, permutation_p
from clxai.errors import ClxaiError
from project import marked

N = 20


@pytest.fixture(scope="module")
def view(tiny_run):
    """All test images of the tiny run: real digits."""
    run = tiny_run.at(tiny_run.data.indices("test"))
    return View(run, {name: run.heads[name] for name in ("softmax", "knn")}, 0)


@pytest.fixture(scope="module")
def null(view):
    """Means of the training images and slopes of the test images in a layer, and 600 random concepts."""
    pool, rng = view.training("test", 200), np.random.default_rng(0)
    means = layer_means(view.run.encoder, view.run, pool, ["layer3"])["layer3"]
    slopes = {head: found["layer3"].numpy() for head, found in mean_slopes(view, ["layer3"]).items()}
    return pool, means, slopes, _directions(means, _random_sides(len(pool), N, 600, rng))


@pytest.mark.parametrize("head", ["softmax", "knn"])
def test_random_concepts_are_found_as_often_as_the_level_says(view, null, head):
    """300 concepts that are drawn by lot, on real digits; the share of signs, which ties, may be found more rarely than that."""
    _, means, slopes, directions = null
    rng = np.random.default_rng(1)
    fits = [drawn(rng.random(len(means)) < 0.5, N, rng, "here")[0] for _ in range(300)]
    classes = view.heads[head].predict(view.run.embeddings).numpy()
    found = _tested(slopes[head], classes, np.concatenate([_directions(means, fits), directions]), 300, 10)
    rates = {name: np.nanmean(found[name] <= 0.05, where=np.isfinite(found[name])) for name in ("p", "p_magnitude")}
    assert 0.02 <= rates["p_magnitude"] <= 0.08
    assert rates["p"] <= 0.08


def test_sign_of_one_slope_says_nothing_and_its_least_p_tells(view, null):
    """Slopes that are all alike make every concept a score of 0 or 1: no p-value below 1 can come of it."""
    directions = null[3]
    slopes = np.repeat(np.random.default_rng(2).normal(size=(1, directions.shape[1])), 12, axis=0)
    found = _tested(slopes, np.zeros(12, int), directions, 5, 1)
    assert set(np.unique(found["score"])) <= {0.0, 1.0}
    assert (found["p"] == 1).all() and (found["least_p"] == 1).all()
    assert found["null_sd"][0] > 0.4


def test_scores_are_the_share_of_signs_and_the_mean_cosine():
    slopes = np.array([[3.0, 4.0], [-3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    null = np.array([[0.0, 1.0], [0.0, -1.0], [0.6, 0.8]])
    found = _tested(slopes, np.array([0, 0, 0, 2]), np.concatenate([[[1.0, 0.0]], null]), 1, 3)
    np.testing.assert_allclose(found["score"], [[1 / 3, np.nan, 1.0]])
    np.testing.assert_allclose(found["magnitude"], [[0.0, np.nan, 1.0]], atol=1e-12)
    np.testing.assert_allclose(found["null_mean"], [(2 / 3 + 0 + 2 / 3) / 3, np.nan, 1 / 3])
    assert np.isnan(found["least_p"][1])


def test_p_value_counts_those_that_are_as_far():
    values, null = np.array([[0.9], [0.5], [0.1]]), np.array([[0.1], [0.4], [0.5], [0.95]])
    np.testing.assert_allclose(permutation_p(values, null, 0.5)[:, 0], [3 / 5, 1, 3 / 5])


def test_direction_is_the_difference_of_means_and_is_judged_by_other_images():
    means = np.array([[2.0, 0], [4.0, 0], [0.0, 0], [-2.0, 0], [9.0, 1], [0.9, 1], [-1.0, 5], [3.0, 5]])
    fit, held = np.array([[0, 1], [2, 3]]), np.array([[4, 5], [6, 7]])
    np.testing.assert_allclose(_directions(means, [fit]), [[1.0, 0.0]])
    assert _held_out(means, fit, held) == 0.5  # the middle is 1: one of each side lies beyond it


def test_concept_that_is_planted_in_a_layer_is_found_for_the_class_that_uses_it_alone():
    """Images with it have more of one direction; the slopes of class 0 follow that direction, those of class 1 another."""
    rng = np.random.default_rng(3)
    concept, other = np.linalg.qr(rng.normal(size=(40, 2)))[0].T
    means, shown = rng.normal(size=(200, 40)), np.arange(200) < 60
    means[shown] += 3 * concept
    fit, held = drawn(shown, N, rng, "here")
    directions = np.concatenate([_directions(means, [fit]), _directions(means, _random_sides(200, N, 500, rng))])
    slopes = np.repeat([concept, other], 15, axis=0) + 0.1 * rng.normal(size=(30, 40))
    found = _tested(slopes, np.repeat([0, 1], 15), directions, 1, 2)
    assert _held_out(means, fit, held) > 0.85
    assert found["magnitude"][0, 0] > 0.6 and found["p_magnitude"][0, 0] == 1 / 501 and found["score"][0, 0] == 1
    assert found["p_magnitude"][0, 1] > 0.05


def test_class_as_its_own_concept_raises_the_log_odds_of_that_class_most(view):
    options = {"concepts": {"three": {"classes": [3]}}, "layers": ["layer4"], "images": 10, "random": 800}
    found = analyse(view.run, "tcav", options, 0).sel(concept="three", layer="layer4")
    assert found["accuracy"] >= 0.7 and found["accepted"] == 1
    for head in ("softmax", "linear", "mahalanobis"):
        own = found.sel(head=head)
        assert own["score"].sel({"class": 3}) == 1
        assert own["magnitude"].fillna(-1).argmax("class") == 3


def test_direction_that_does_not_tell_images_apart_has_no_scores(view):
    """No direction tells 99 of 100 other images apart by their brightness in a network that was trained for digits."""
    options = {"layers": ["layer4"], "images": 10, "random": 800, "least_accuracy": 1.0}
    found = analyse(view.run, "tcav", options, 0)
    assert found["accepted"].values.tolist() == [[0]] and found["accuracy"] < 1
    assert found["score"].isnull().all() and found["p"].isnull().all() and found["null_sd"].notnull().any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 60}, "and 120 with it and 120 without are needed: lower `images` to"),
        ({"images": 8, "random": 300}, "no corrected p-value can reach 0.05: raise `random` to"),
        ({"images": 8, "concepts": {"a": {"classes": ["thre"]}}}, "concept 'a' of tcav.classes: unknown class 'thre'"),
    ],
    ids=str,
)
def test_what_the_data_cannot_give_is_refused_with_the_way_out(view, options, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        analyse(view.run, "tcav", options, 0)


def test_concepts_are_what_their_rules_say(tiny_run):
    data = marked(tiny_run).data
    index = np.arange(30)
    light = data.images[index].mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(shows("brightness", data, index, ""), light > np.median(light))
    np.testing.assert_array_equal(shows({"classes": ["3", 5]}, data, index, ""), np.isin(data.labels[index], [3, 5]))
    assert shows("left", data, index, "").all() and shows("upper", data, index, "").all()  # a corner of 3 x 2 px and one pixel
    data.evidence[:5, :, :] = 0
    data.evidence[:5, 9, 2] = 1
    assert not shows("upper", data, index, "")[:5].any() and shows("left", data, index, "").all()


def test_slopes_are_those_of_the_log_odds_along_a_direction(view):
    """A step along one channel of the last layer moves the embedding, hence the log-odds, by its slope times the places."""
    slopes = mean_slopes(view, ["layer4"])["softmax"]["layer4"]
    head, clean = view.heads["softmax"], view.run.embeddings.double()
    target = head.predict(view.run.embeddings)
    for channel in (0, 7):
        step = 1e-3 * torch.nn.functional.one_hot(torch.tensor(channel), clean.shape[1])
        ends = [torch.nn.functional.linear(clean + sign * step, head.weight.double(), head.bias.double()) for sign in (1, -1)]
        odds = [end.gather(1, target[:, None])[:, 0] - end.scatter(1, target[:, None], -np.inf).logsumexp(1) for end in ends]
        places = view.run.shape[0] // 8 * (view.run.shape[1] // 8)
        np.testing.assert_allclose((odds[0] - odds[1]) / 2e-3, places * slopes[:, channel], rtol=1e-3, atol=1e-4)
