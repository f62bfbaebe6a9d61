"""Probes read off what is there, not what is not, and are the same for equal information."""

import numpy as np
import pytest
import torch
from clxai.analyses.analysing import analyse
from clxai.analyses.base import View
from clxai.analyses.probes import TASKS, _labels, _right, untrained
from clxai.errors import ClxaiError

RNG = np.random.default_rng(0)
LABELS = np.arange(120) % 3
SEPARATE = np.eye(3)[LABELS] * 6 + RNG.normal(size=(120, 3))


@pytest.fixture(scope="module")
def found(tiny_run):
    return analyse(tiny_run.at(tiny_run.data.indices("test")), "probes", {"layers": ["layer1", "layer4"], "clusters": 25}, 0)


def test_probe_reads_off_what_is_there_and_nothing_of_noise():
    right = _right(SEPARATE[:90], SEPARATE[90:], LABELS[:90], LABELS[90:], 3, 1.0)
    noise = RNG.normal(size=(120, 3))
    chance = _right(noise[:90], noise[90:], LABELS[:90], LABELS[90:], 3, 1.0)
    assert right.mean() == 1 and set(right) <= {0.0, 1.0}
    assert chance.mean() < 0.6


def test_probe_does_not_see_scale_shift_or_rotation():
    turned = (SEPARATE @ np.linalg.qr(RNG.normal(size=(3, 3)))[0]) * 1e3 + 7
    given = (LABELS[:90], LABELS[90:], 3, 1.0)
    scaled = SEPARATE * [1.0, 100.0, 1e-3] + 5
    one = _right(SEPARATE[:90], SEPARATE[90:], *given)
    np.testing.assert_array_equal(_right(scaled[:90], scaled[90:], *given), one)
    assert _right(turned[:90], turned[90:], *given).mean() > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_probe_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr("clxai.analyses.probes.MOST_STEPS", 2)
    with pytest.raises(ClxaiError, match="a probe did not converge in 2 iterations: lower `C`"):
        _right(SEPARATE[:90], SEPARATE[90:], LABELS[:90], LABELS[90:], 3, 1.0)


def test_trained_last_layer_has_the_class_and_beats_its_floors(found):
    accuracy = found["accuracy"].mean("image")
    assert found["features"].values.tolist() == ["layer1", "layer4", "untrained layer1", "untrained layer4", "pixels"]
    assert accuracy.sel(features="layer4", task="class") > 0.6 > accuracy.sel(features="layer1", task="class")
    assert found["over_untrained"].mean("image").sel(layer="layer4") > 0.2
    own, control = (found["accuracy"].sel(task=task) for task in TASKS)
    np.testing.assert_array_equal(found["selectivity"], own - control)
    floor = found["accuracy"].sel(task="class", features="pixels")
    np.testing.assert_array_equal(found["over_pixels"].sel(layer="layer1"), own.sel(features="layer1") - floor)


def test_control_labels_recur_among_like_images_and_have_the_shares_of_the_classes(tiny_run):
    view, pool = View(tiny_run, {}, 3), tiny_run.data.indices("train")
    labels = _labels(view, pool, pool, 150)
    fitted, judged = labels["control"]
    np.testing.assert_array_equal(fitted, judged)  # the same images are of the same clusters
    np.testing.assert_array_equal(labels["class"][0], tiny_run.data.labels[pool])
    assert (fitted == labels["class"][0]).mean() < 0.4
    assert np.bincount(fitted, minlength=10).max() < 0.5 * len(fitted)


def test_untrained_network_has_first_weights_of_its_seed(tiny_run):
    one, again, other = (untrained(tiny_run.encoder, seed).backbone.state_dict() for seed in (0, 0, 1))
    name = "layer2.0.conv1.weight"
    assert torch.equal(one[name], again[name]) and not torch.equal(one[name], other[name])
    assert not torch.equal(one[name], tiny_run.encoder.backbone.state_dict()[name])
