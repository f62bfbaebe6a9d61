"""Every key of `flipping`, and every option that a head or a method declares, has its effect; one without a case here fails."""

import numpy as np
import pytest
import torch
from clxai.attribution.explaining import explain
from clxai.flipping import curves
from clxai.flipping.curves import flip_curves
from clxai.heads.base import HEADS
from clxai.mask_bank.probing import fill_bank
from clxai.planning.choices import reads_masks
from clxai.registry import declared
from project import SCHEMA, grid, installed_methods, marked

SETTINGS = {
    "fills": ["mean"],
    "steps": 4,
    "units": grid(4),
    "seed": 0,
    "batch_size": 64,
    "precision": "float32",
    "trajectories": 2,
    "bank_k": 5,
}


@pytest.fixture(scope="module")
def few(tiny_run):
    return marked(tiny_run.at(tiny_run.index[:4].numpy()))


@pytest.fixture(scope="module")
def maps(few):
    return explain(few, "random", {}, 0)


@pytest.fixture(scope="module")
def plain(few, maps):
    return flip_curves(few, maps, SETTINGS)


def unit_distances(run):
    """Distances of the unit embeddings of the images to those of the training images, sorted."""
    bank, own = run.training_bank()[0].double().numpy(), run.embeddings.double().numpy()
    bank, own = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (bank, own))
    return np.sort(np.linalg.norm(own[:, None] - bank, axis=2), axis=1)


def of_fills(run, before, after):
    assert after["fill"].values.tolist() == ["zero", "mean"]
    np.testing.assert_allclose(after["log_odds"].sel(fill="mean"), before["log_odds"].sel(fill="mean"), rtol=1e-3, atol=1e-3)
    black = run.encoder(torch.zeros_like(run.images[:1])) - run.embeddings
    np.testing.assert_allclose(after["drift_l2"].sel(fill="zero")[0, 0, :, -1], black.norm(dim=1), rtol=1e-3)


def of_steps(run, before, after):
    np.testing.assert_allclose(after["fraction"], np.round(np.arange(7) * 16 / 6) / 16)


def of_batch_size(run, before, after):
    for name in ("log_odds", "drift_l2", "bank_distance"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-3, atol=1e-3)


def of_precision(run, before, after):
    assert (before.attrs["precision"], after.attrs["precision"]) == ("float32", "bfloat16")
    assert 0 < np.abs(after["drift_l2"] - before["drift_l2"]).max() < 0.2 * before["drift_l2"].max()


def of_trajectories(run, before, after):
    assert after["trajectory"].values.tolist() == run.index[:3].tolist()
    assert after["trajectory_embedding"].sizes["trajectory"] == 3


def of_bank_k(run, before, after):
    for dataset, k in ((before, 5), (after, 40)):
        np.testing.assert_allclose(dataset["bank_distance"][0, 0, 0, :, 0], unit_distances(run)[:, k - 1], atol=1e-3)


def of_units(run, before, after):
    np.testing.assert_allclose(after["fraction"], np.arange(5) / 4)
    assert [after.attrs[name] for name in ("units", "units_member", "units_height", "units_width")] == ["grid", "grid", 8, 4]
    assert after["unit"].values.tolist() == [[4 * (y // 8) + x // 4 for x in range(16)] for y in range(16)]


def of_seed(run, before, after):
    """Nothing here is drawn: no ties, no noise."""
    assert (after.attrs["seed"], before.attrs["seed"]) == (7, 0)
    np.testing.assert_array_equal(after["log_odds"], before["log_odds"])


# key: (value, its effect); the seed is the study's
FLIPPING = {
    "fills": (["zero", "mean"], of_fills),
    "steps": (6, of_steps),
    "batch_size": (3, of_batch_size),
    "precision": ("bfloat16", of_precision),
    "trajectories": (3, of_trajectories),
    "bank_k": (40, of_bank_k),
    "units": (grid(8, 4), of_units),
    "seed": (7, of_seed),
}


def test_every_key_of_flipping_has_a_case_here():
    assert FLIPPING.keys() == SCHEMA["properties"]["flipping"]["properties"].keys() | {"seed"} == SETTINGS.keys()


@pytest.mark.parametrize("key", FLIPPING)
def test_flipping_does_what_its_key_says(few, maps, plain, monkeypatch, key):
    monkeypatch.setattr(curves, "check_precision", lambda *given: None)  # this network is too small for bfloat16
    value, effect = FLIPPING[key]
    effect(few, plain, flip_curves(few, maps, {**SETTINGS, key: value}))


def fitted(run, name, options):
    bank, labels = run.training_bank()
    return HEADS[name].definition.fit(bank, labels, 10, {**HEADS[name].semantics["options"], **options}, run.encoder.classifier)


def test_linear_c_weakens_the_penalty(few):
    """At the optimum of the penalised likelihood, C times the gradient of the likelihood is minus the weight."""
    for strength in (0.1, 10.0):
        head, (bank, labels) = fitted(few, "linear", {"C": strength}), few.training_bank()
        units = bank / bank.norm(dim=1, keepdim=True)
        wrong = (units @ head.weight.T + head.bias).softmax(1) - torch.nn.functional.one_hot(labels, 10)
        torch.testing.assert_close(strength * wrong.T @ units, -head.weight, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("options", [{"k": 20}, {"k": 20, "temperature": 0.5}, {"k": 60, "temperature": 0.02}])
def test_knn_scores_follow_k_and_the_temperature(few, options):
    head, (bank, labels) = fitted(few, "knn", options), few.training_bank()
    temperature = options.get("temperature", 0.07)
    cosines = (
        1 - torch.cdist(*(rows.double() / rows.double().norm(dim=1, keepdim=True) for rows in (few.embeddings, bank))) ** 2 / 2
    )
    for scores, row in zip(head(few.embeddings).double(), cosines, strict=True):
        near = row.argsort(descending=True)[: options["k"]]
        for label in range(10):
            own = row[near[labels[near] == label]] / temperature
            expected = own.logsumexp(0).item() if len(own) else -1 / temperature
            assert scores[label].item() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_every_option_of_a_head_has_a_case_here():
    known = {(name, key) for name, entry in declared("heads").items() for key in entry.semantics["options"]}
    assert known == {("linear", "C"), ("knn", "k"), ("knn", "temperature")}


def differs(run, before, after):
    assert np.abs(after["attribution"] - before["attribution"]).max() > 1e-3 * np.abs(before["attribution"]).max()


def of_ig_steps(run, before, after):
    assert after["n_steps"].min() == 8


def of_ig_most(run, before, after):
    assert set(np.unique(after["n_steps"])) <= {64, 128}


def of_ig_tolerance(run, before, after):
    """More points for more than half of the images, or none is above the tolerance."""
    assert (after["n_steps"] == 128).any() or (after["completeness_error"] <= 1e-7).all()


# method and option: (value, other options, its effect beyond its record)
OPTIONS = {
    ("integrated_gradients", "steps"): (8, {"tolerance": 1e9}, of_ig_steps),
    ("integrated_gradients", "most_steps"): (128, {"tolerance": 1e-9}, of_ig_most),
    ("integrated_gradients", "tolerance"): (1e-7, {"most_steps": 128}, of_ig_tolerance),
    ("integrated_gradients", "baseline"): ("zero", {}, differs),
    ("smoothgrad", "samples"): (3, {}, differs),
    ("smoothgrad", "sigma"): (0.5, {}, differs),
    ("smoothgrad_sq", "samples"): (3, {}, differs),
    ("smoothgrad_sq", "sigma"): (0.5, {}, differs),
    ("gradient_shap", "samples"): (32, {}, differs),
    ("gradient_shap", "references"): (4, {}, differs),
    ("shap_gradient", "samples"): (4, {"references": 4}, differs),
    ("shap_gradient", "references"): (2, {"samples": 4}, differs),
    ("shap_partition", "max_evals"): (20, {}, differs),
    ("shap_partition", "baseline"): ("zero", {"max_evals": 20}, differs),
    ("guided_grad_cam", "layer"): ("layer2", {}, differs),
    ("grad_cam", "layer"): ("layer3", {}, differs),
    ("grad_cam_pp", "layer"): ("layer3", {}, differs),
    ("layer_cam", "layer"): ("layer3", {}, differs),
    ("hires_cam", "layer"): ("layer3", {}, differs),
    ("eigen_cam", "layer"): ("layer3", {}, differs),
    ("ablation_cam", "layer"): ("layer3", {}, differs),
    ("occlusion", "window"): (8, {}, differs),
    ("occlusion", "stride"): (2, {}, differs),
    ("occlusion", "baseline"): ("blur", {}, differs),
    ("contrast", "baseline"): ("zero", {}, differs),
    ("oracle", "part"): (2, {}, differs),
    ("wrong_class", "of"): ("saliency", {}, differs),
    ("degraded", "share"): (0.5, {}, differs),
    ("best_order", "width"): (4, {}, differs),
    ("best_order", "at_once"): (3, {}, differs),
    ("worst_order", "width"): (4, {}, differs),
    ("worst_order", "at_once"): (3, {}, differs),
    ("lime", "width"): (0.05, {}, differs),
    ("lime", "penalty"): (0, {}, differs),
}
REMOVAL = {"units": grid(4), "fill": {"name": "zero", "fill": "zero", "options": {}}}  # as planning resolves them


MASKS = {**REMOVAL, "fill": {**REMOVAL["fill"], "seed": 0}, "masks": 200, "held_out": 0.2, "seed": 0, "batch_size": 64}
PLANNED = {  # whose maps: test_borrowing.py, and which: test_brought_maps.py
    "maps": ("of", "model", "seed", "sample", "head_if_absent"),
    "file": ("path", "order", "signed", "channels", "ids", "shared"),
}


def test_every_option_of_a_method_has_a_case_here():
    known = set()
    for name, entry in installed_methods().items():
        removing = entry.semantics["removes"] or reads_masks(name)
        planned = PLANNED.get(entry.semantics["borrows"], tuple(REMOVAL) if removing else ())
        planned = tuple(entry.semantics["options"]) if entry.semantics["learns"] else planned  # test_amortising.py
        known |= {(name, key) for key in entry.semantics["options"] if key not in planned}
        known |= {(name, "baseline")} if entry.semantics["baseline"] is not None else set()
    assert known == {case for case in OPTIONS if case[0] in installed_methods()}


@pytest.mark.parametrize(("method", "option"), [case for case in OPTIONS if case[0] in installed_methods()])
def test_option_of_a_method_has_its_effect_and_is_recorded(few, method, option):
    value, others, effect = OPTIONS[method, option]
    two = few.at(few.index[:2].numpy())
    lent = explain(two, "saliency", {}, 0)
    given = REMOVAL if declared("methods")[method].semantics["removes"] else {}
    bank = fill_bank(two, MASKS) if reads_masks(method) else None
    before, after = (
        explain(two, method, {**given, **own}, 0, borrowed=lent, bank=bank) for own in ({}, {option: value, **others})
    )
    assert after.attrs["baseline" if option == "baseline" else f"option_{option}"] == value
    effect(two, before.isel(head=[0, 2]), after.isel(head=[0, 2]))
