"""Heads are fitted on train, calibrated on val, and only reported on test."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.heads import fitting
from clxai.heads.calibration import fit_temperature
from clxai.heads.fitting import disturbed_embeddings, fit_heads

OPTIONS = {"softmax": {}, "linear": {"C": 10.0}, "knn": {"k": 50, "temperature": 0.07}, "mahalanobis": {}}


@pytest.fixture(scope="module")
def fit(tiny_run):
    """Fit all heads with the labels of a split shuffled and its embeddings replaced by noise."""

    def run(noisy_split=None):
        data, embeddings = tiny_run.data, tiny_run.all_embeddings.clone()
        if noisy_split:
            members = data.indices(noisy_split)
            labels = data.labels.copy()
            labels[members] = np.random.default_rng(0).permutation(labels[members])
            data = replace(data, labels=labels)
            embeddings[torch.from_numpy(members)] = torch.rand(
                len(members), embeddings.shape[1], generator=torch.Generator().manual_seed(0)
            )
        return fit_heads(tiny_run.encoder, data, embeddings, OPTIONS)

    return run


@pytest.fixture(scope="module")
def clean(fit):
    return fit()


def tensors(head, leave_out=()):
    return {name: tensor for name, tensor in head.state_dict().items() if name not in leave_out}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_fit_heads_reports_every_head_on_val_and_test(clean, tiny_data):
    heads, metrics = clean
    assert list(heads) == list(OPTIONS)
    assert metrics[["head", "split"]].values.tolist() == [[name, split] for name in OPTIONS for split in ("val", "test")]
    assert set(metrics["n_images"]) == {60}
    assert all(head.facts["n_fitted"] == 200 for head in heads.values())


def test_k_that_is_not_given_is_no_larger_than_a_fifth_of_the_bank_and_is_stored(tiny_run, tiny_data, capsys):
    few = replace(tiny_data.data, split=np.where(np.cumsum(tiny_data.data.split == 0) > 120, 1, tiny_data.data.split))
    heads, _ = fit_heads(tiny_run.encoder, few, tiny_run.all_embeddings, {"knn": {}})
    assert heads["knn"].options == {"k": 24, "temperature": 0.07}
    assert "knn: the default k of 200 is above 0.2 of the training images, 120; 24 is taken" in capsys.readouterr().out


def test_k_that_is_given_is_refused_above_the_bank(tiny_run, tiny_data):
    with pytest.raises(ClxaiError, match=r"knn\.k must be at most the training images, 200\. Got 201"):
        fit_heads(tiny_run.encoder, tiny_data.data, tiny_run.all_embeddings, {"knn": {"k": 201}})


def test_fit_heads_beats_chance_by_far(clean):
    assert clean[1]["accuracy"].min() > 0.5


def test_fit_heads_never_fits_on_test(clean, fit):
    heads, metrics = fit("test")
    assert all(equal(tensors(heads[name]), tensors(clean[0][name])) for name in OPTIONS)
    val = metrics["split"] == "val"
    assert metrics[val].equals(clean[1][val])
    assert (metrics[~val]["accuracy"] < clean[1][~val]["accuracy"]).all()


TEMPERATURES = ["temperature", "temperature_low", "temperature_high"]


def test_fit_heads_takes_only_the_temperature_from_val(tiny_run, clean):
    """Other validation labels, other temperatures; nothing else."""
    data = tiny_run.data
    labels, val = data.labels.copy(), data.indices("val")
    labels[val] = np.random.default_rng(0).permutation(labels[val])
    heads, _ = fit_heads(tiny_run.encoder, replace(data, labels=labels), tiny_run.all_embeddings, OPTIONS)
    for name in OPTIONS:
        assert equal(tensors(heads[name], TEMPERATURES), tensors(clean[0][name], TEMPERATURES))
        assert heads[name].temperature > clean[0][name].temperature  # noise asks for less confidence


def test_temperature_and_its_interval_are_those_of_disturbed_validation_images(tiny_run, clean):
    points, owner = disturbed_embeddings(tiny_run.encoder, tiny_run.data)
    labels = torch.from_numpy(tiny_run.data.labels)[owner]
    for head in clean[0].values():
        assert (head(points).argmax(1) != labels).sum() >= 20  # so that there is something to learn from
        found = [float(getattr(head, end)) for end in TEMPERATURES]
        assert found == pytest.approx(list(fit_temperature(head(points), labels, owner)), rel=1e-5)
        assert found[1] < found[0] < found[2]
    rows = clean[1].set_index(["head", "split"])
    assert rows.loc[("knn", "test"), TEMPERATURES].tolist() == pytest.approx(
        [float(getattr(clean[0]["knn"], end)) for end in TEMPERATURES]
    )


def test_temperature_of_half_of_the_images_lies_within_the_interval_of_that_half(tiny_run, clean):
    points, owner = disturbed_embeddings(tiny_run.encoder, tiny_run.data)
    labels = torch.from_numpy(tiny_run.data.labels)[owner]
    half = torch.isin(owner, owner.unique()[::2])
    for head in clean[0].values():
        _, low, high = fit_temperature(head(points[half]), labels[half], owner[half])
        assert low < head.temperature < high


def test_disturbed_copies_depend_on_image_and_copy_alone(tiny_run, monkeypatch):
    data = tiny_run.data
    points, owner = disturbed_embeddings(tiny_run.encoder, data)
    assert sorted(owner.tolist()) == sorted(data.indices("val").tolist() * 4)
    assert len(points.unique(dim=0)) == len(points)
    split = data.split.copy()
    split[data.indices("val")[::2]] = 2
    fewer, fewer_owner = disturbed_embeddings(tiny_run.encoder, replace(data, split=split))
    kept = torch.isin(owner, fewer_owner)
    torch.testing.assert_close(fewer, points[kept], rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(fitting, "CALIBRATION_IMAGES", 7)
    assert len(disturbed_embeddings(tiny_run.encoder, data)[1].unique()) == 7


def test_collapsed_embeddings_are_refused_by_name_of_model_and_head(tiny_run):
    """Every image of a class at one point: there is no covariance."""
    data = tiny_run.data
    points = torch.eye(data.n_classes, tiny_run.all_embeddings.shape[1])[torch.from_numpy(data.labels)]
    with pytest.raises(ClxaiError, match=r"ce/seed1/model: head 'mahalanobis'.*is singular.*study\.heads"):
        fit_heads(tiny_run.encoder, data, points, OPTIONS, "ce/seed1/model")


@pytest.mark.parametrize("name", ["linear", "knn", "softmax"])
def test_other_heads_bear_collapsed_embeddings(tiny_run, name):
    data = tiny_run.data
    points = torch.eye(data.n_classes, tiny_run.all_embeddings.shape[1])[torch.from_numpy(data.labels)]
    heads, _ = fit_heads(tiny_run.encoder, data, points, {name: OPTIONS[name]})
    assert torch.isfinite(heads[name](points)).all()


def test_one_image_per_class_is_refused_where_a_spread_is_needed(tiny_run):
    data = tiny_run.data
    labels = data.labels[data.indices("train")]
    first = data.indices("train")[[int(np.flatnonzero(labels == c)[0]) for c in range(data.n_classes)]]
    split = np.where(np.isin(np.arange(len(data.labels)), first), 0, np.maximum(data.split, 1))
    with pytest.raises(ClxaiError, match=r"more training images than 10 classes\. Got 10"):
        fit_heads(tiny_run.encoder, replace(data, split=split), tiny_run.all_embeddings, {"mahalanobis": {}})


def test_class_without_a_training_image_is_refused(tiny_run):
    data = tiny_run.data
    split = np.where((data.labels == 3) & (data.split == 0), 1, data.split)
    with pytest.raises(ClxaiError, match="no training image of class 3"):
        fit_heads(tiny_run.encoder, replace(data, split=split), tiny_run.all_embeddings, OPTIONS)
