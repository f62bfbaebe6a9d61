"""Errors that would give other numbers without a trace, planted one at a time: each is caught.

The engine flips images whose evidence is known: a patch, at any place, brighter than the grey around it in one class and darker
in the other. The network adds all pixels up, so that the oracle is right and nothing but the patch counts.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.explaining import explain
from clxai.attribution.truth import relevance_mass
from clxai.data.datasets import ImageData
from clxai.design import joined
from clxai.errors import ClxaiError
from clxai.flipping.curves import flip_curves
from clxai.heads.affine import Softmax
from clxai.measures.checks import leak_checks, oracle_checks, random_checks
from clxai.measures.metrics.base import reading
from clxai.measures.summaries import measure_runs
from clxai.networks.architecture import Architecture
from clxai.runs import Run
from project import flat_encoder, grid

MEAN = {"name": "mean", "fill": "mean", "options": {}}
SETTINGS = {
    "fills": [MEAN],
    "steps": 16,
    "units": grid(4),
    "seed": 0,
    "batch_size": 256,
    "precision": "float32",
    "trajectories": 1,
    "bank_k": 3,
}
HEADS = {"softmax": 1.0, "other": -0.5}  # by what their weights are multiplied
MAPS = ("random", "oracle", "sobel")
N = 80


def patches():
    """Eighty images of 16x16 px, their labels, and where the patch of each is: on one of the 16 units, any of them."""
    rng, labels = np.random.default_rng(0), np.arange(N) % 2
    images, evidence = rng.normal(128, 4, (N, 1, 16, 16)), np.zeros((N, 16, 16), np.uint8)
    for image, (label, top, left) in enumerate(zip(labels, *4 * rng.integers(4, size=(2, N)), strict=True)):
        place = (slice(top, top + 4), slice(left, left + 4))
        images[(image, 0, *place)] += 100 if label else -100
        evidence[(image, *place)] = 1
    return images.round().clip(0, 255).astype(np.uint8), labels, evidence


@pytest.fixture(scope="module")
def run():
    """A network that adds the pixels up, with two heads, looking at half of the images."""
    images, labels, evidence = patches()
    split = np.repeat([0, 2], N // 2).astype(np.int8)
    data = ImageData("patches", images, labels, split, ("dark", "bright"), (0.5,), (0.25,), evidence)
    encoder = flat_encoder(Architecture("cnn", {"width": 4}, (16, 16), data.mean, data.std, 2, "classifier"))
    encoder.projection = None
    embeddings = encoder(torch.from_numpy(images).float() / 255).detach()
    weight = torch.stack([-torch.ones(256), torch.ones(256)]) / 16
    heads = {name: Softmax({"weight": scale * weight, "bias": torch.zeros(2)}) for name, scale in HEADS.items()}
    return Run(data, encoder, "none", heads, embeddings, torch.arange(N // 2, N))


@pytest.fixture(scope="module")
def maps(run):
    return {name: explain(run, name, {}, 0) for name in MAPS}


def tables_of(run, maps, settings=SETTINGS, planted=lambda curves: curves):
    """The tables of images and of curves of a study of this run; `planted` is done to the curves of every method."""
    place = {"model": "sum", "seed": 0, "units": "grid"}
    return measure_runs(
        [({**place, "method": name}, planted(flip_curves(run, found, settings))) for name, found in maps.items()],
        reading("curves"),
    )


def failed(rows):
    """What the rows that did not pass are about."""
    return {(row["method"], row["head"]) for row in rows if not row["passed"]}


EVERYWHERE = {("random", head) for head in HEADS}


def test_without_an_error_all_is_well(run, maps):
    images, curves = tables_of(run, maps)
    assert not failed([*oracle_checks(images, ["oracle"], 0.0), *leak_checks(curves, 0.6), *random_checks(images, 0.01)])
    assert (maps["oracle"]["relevance_mass"] == 1).all()


def test_reversed_order_puts_the_truth_below_random(run, maps):
    images, _ = tables_of(run, maps, planted=lambda curves: curves.assign_coords(order=["lerf", "morf"]))
    assert failed(oracle_checks(images, ["oracle"], 0.0)) >= EVERYWHERE


@pytest.mark.parametrize(
    "flipped",
    [lambda values: -values, lambda values: values[..., ::-1, :], lambda values: values.swapaxes(-1, -2)],
    ids=["least important first", "upside down", "transposed"],
)
def test_flipped_orientation_of_all_maps_costs_the_truth_its_place(run, maps, flipped):
    wrong = {
        name: found.assign(attribution=(found["attribution"].dims, flipped(found["attribution"].values).copy()))
        for name, found in maps.items()
    }
    assert failed(oracle_checks(tables_of(run, wrong)[0], ["oracle"], 0.0)) >= EVERYWHERE


def test_flipped_orientation_of_one_method_shows_in_its_relevance(run):
    values = torch.from_numpy(explain(run, "input_x_gradient", {}, 0)["attribution"].values)
    upright, flipped = (relevance_mass(one, run.evidence > 0).nanmean() for one in (values, values.flip(-2)))
    assert upright > 0.7
    assert flipped < 0.3


def test_fill_that_leaks_the_label_leaves_the_class_when_all_is_removed(run, maps):
    leaking = {"name": "blur", "fill": "blur", "options": {"sigma": 1e-3}}  # the image itself
    images, curves = tables_of(run, {name: maps[name] for name in ("random", "oracle")}, {**SETTINGS, "fills": [MEAN, leaking]})
    for rows in (leak_checks(curves, 0.6), oracle_checks(images, ["oracle"], 0.0)):
        assert {row["check"].partition("fill ")[2] for row in rows if row["passed"]} >= {"mean"}
    assert {row["check"].partition("fill ")[2] for row in leak_checks(curves, 0.6) if not row["passed"]} == {"blur"}


def test_swapped_heads_explain_other_log_odds(run, maps):
    wrong = replace(run, heads=dict(zip(HEADS, [run.heads[name] for name in reversed(HEADS)], strict=True)))
    with pytest.raises(ClxaiError, match="head 'softmax': the attributions explain other log-odds of 40 of 40 images"):
        flip_curves(wrong, maps["oracle"], SETTINGS)


def test_maps_of_another_model_explain_other_log_odds(run):
    other = replace(run, all_embeddings=2 * run.all_embeddings)
    with pytest.raises(ClxaiError, match="of another network or head"):
        flip_curves(run, explain(other, "oracle", {}, 0), SETTINGS)


def test_embeddings_of_another_model_do_not_fit_the_network(run):
    other = replace(run, all_embeddings=1.1 * run.all_embeddings)
    with pytest.raises(ClxaiError, match="embedding"):
        flip_curves(other, explain(other, "oracle", {}, 0), SETTINGS)


def test_exchanged_labels_of_two_models_are_told_by_the_places_of_their_files():
    cells = [{"model": model, "seed": 0} for model in ("ce", "supcon")]
    paths = [f"results/digits/{model}/seed0/heads/metrics.csv" for model in ("supcon", "ce")]
    with pytest.raises(ClxaiError, match="expected the file of model ce, found that of supcon"):
        joined(cells, paths)
