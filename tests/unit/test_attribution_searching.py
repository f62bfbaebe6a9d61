"""Best and worst orders of removal: against all orders there are, and against the engine that flips by them."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.fills.base import fill_of
from clxai.flipping.curves import flip_curves
from clxai.heads.base import log_odds
from clxai.mask_bank.removing import Removal
from clxai.measures.metrics.base import measure
from clxai.planning import params
from clxai.planning.choices import chosen
from clxai.planning.usage import members
from project import changed, check, filled_config, grid

FILL = {"name": "noise", "fill": "noise", "options": {}, "seed": 4}


def options(units, **others):
    return {"units": units, "fill": FILL, "width": 1, "at_once": 1, **others}


def flipped(run, maps, units, steps):
    settings = {"fills": [FILL], "steps": steps, "units": units, "seed": 4, "batch_size": 64, "precision": "float32"}
    curves = flip_curves(run, maps, {**settings, "trajectories": 1, "bank_k": 3})
    return measure(curves, ["auc_deletion_matched"])["auc_deletion_matched"].values


def all_areas(run, head, units):
    """Deletion AUC of every order of the units, by subsets that are embedded one by one [image, order]."""
    removal = Removal(units["units"], units["options"], fill_of(FILL), FILL["seed"]).on(run.encoder, run.images, run.index)
    n_units, target = removal.cut.most, head.predict(run.embeddings)
    subsets = torch.tensor(list(itertools.product([False, True], repeat=n_units)))
    found = []
    for image in range(len(run.images)):
        rows = torch.full((len(subsets),), image)
        scores = head.decide(run.encoder.backbone(removal.without(subsets, rows)))[0]
        odds = log_odds(scores / head.temperature, target[rows])
        p = dict(zip(map(tuple, subsets.tolist()), odds.sigmoid().tolist(), strict=True))
        areas = []
        for order in itertools.permutations(range(n_units)):
            curve = [p[tuple(unit in order[:count] for unit in range(n_units))] for count in range(n_units + 1)]
            areas.append(np.trapezoid(curve, dx=1 / n_units))
        found.append(areas)
    return np.array(found)


@pytest.mark.parametrize(("name", "extreme"), [("best_order", np.min), ("worst_order", np.max)])
def test_wide_search_finds_the_extreme_of_all_orders(few, name, extreme):
    """Four units: at most 6 sets of a size, so that six beams keep them all; flipping by the map gives that area."""
    units = {"name": "grid", "units": "grid", "options": {"height": 8, "width": 8}}
    maps = explain(few, name, options(units, width=6), 0)
    found = flipped(few, maps, units, 4)
    for number, head in enumerate(few.heads.values()):
        expected = extreme(all_areas(few, head, units), axis=1)
        np.testing.assert_allclose(found[number, number, 0], expected, atol=1e-4)


def test_greedy_order_takes_the_unit_that_costs_most_at_every_step(few):
    units, head = grid(4), few.heads["linear"]
    place = 15 - _by_unit(explain(few, "best_order", options(units), 0).sel(head="linear"))
    removal = Removal("grid", units["options"], fill_of(FILL), 4).on(few.encoder, few.images, few.index)
    target = head.predict(few.embeddings)
    for image in range(3):
        gone = torch.zeros(16, dtype=torch.bool)
        for step in range(16):
            left = (~gone).nonzero().flatten()
            tried = gone.repeat(len(left), 1).scatter(1, left[:, None], True)
            rows = torch.full((len(left),), image)
            scores = head(few.encoder.backbone(removal.without(tried, rows))) / head.temperature
            odds = log_odds(scores, target[rows])
            chosen = int((place[image] == step).nonzero()[0][0])
            assert float(odds[left.tolist().index(chosen)]) == pytest.approx(float(odds.min()), abs=1e-3)
            gone[chosen] = True


def _by_unit(maps):
    """The map's value in each square of 4 px [image, unit]; it must be one value."""
    blocks = maps["attribution"].values.reshape(-1, 4, 4, 4, 4).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 16)
    assert (np.ptp(blocks, axis=2) == 0).all()
    return blocks[..., 0].astype(int)


@pytest.mark.parametrize("at_once", [1, 3, 16, 20])
@pytest.mark.parametrize("width", [1, 3])
def test_every_unit_gets_a_place_of_its_own(few, at_once, width):
    found = _by_unit(explain(few, "worst_order", options(grid(4), width=width, at_once=at_once), 0).isel(head=2))
    assert np.sort(found, axis=1).tolist() == [list(range(16))] * 3


def test_orders_bound_the_methods(few):
    """Greedy, at single units: not proven for each image, but true of their mean for every head here."""
    areas = {name: flipped(few, explain(few, name, options(grid(4)), 0), grid(4), 16) for name in ("best_order", "worst_order")}
    for name in ("random", "saliency"):
        own = flipped(few, explain(few, name, {}, 0), grid(4), 16)
        for head in range(len(few.heads)):
            assert areas["best_order"][head, head].mean() < own[head, head].mean()
            assert areas["worst_order"][head, head].mean() > own[head, head].mean()


@pytest.mark.parametrize("at_once", [1, 4])
def test_wider_beams_find_a_better_order_on_average(few, at_once):
    """By the points after each trial, of which alone a search of several units at once knows."""
    chosen = [options(grid(4), width=width, at_once=at_once) for width in (1, 4)]
    greedy, wide = (flipped(few, explain(few, "best_order", own, 0), grid(4), 16 // at_once) for own in chosen)
    assert np.mean([wide[head, head].mean() - greedy[head, head].mean() for head in range(4)]) < 0


def test_images_with_different_numbers_of_units(few):
    units = {"name": "slic", "units": "superpixels", "options": {"n_segments": 9}}
    found = explain(few, "best_order", options(units, width=2, at_once=2), 0)
    assert found.attrs["option_units"] == "slic"
    assert found.attrs["option_fill"] == "noise"
    for image in found["attribution"].values[0]:
        values = np.unique(image)
        assert values.tolist() == list(range(len(values)))


def test_fill_that_sees_the_mask(few):
    fill = {"name": "linear", "fill": "linear", "options": {}, "seed": 0}
    found = explain(few, "best_order", {**options(grid(8)), "fill": fill}, 0)
    assert np.unique(found["attribution"]).tolist() == [0, 1, 2, 3]


@pytest.fixture
def searching():
    methods = {"best_zero": {"method": "best_order", "fill": "zero", "width": 2}}
    return changed(
        filled_config(),
        {"flipping.fills": ["mean", "zero"], "study.methods": ["random", "lrp", "best_order", "best_zero"], "methods": methods},
    )


def test_units_and_fill_are_the_first_of_the_study_unless_named(searching):
    check(searching)
    assert chosen(searching, "methods", "best_order")[1] == {"units": "grid", "fill": "mean", "width": 1, "at_once": 1}
    job = SimpleNamespace(dataset="digits", model="ce", seed="2", method="best_zero")
    told = params.attribute(searching, job)["options"]
    assert told["fill"] == {"name": "zero", "fill": "zero", "options": {}, "seed": 0}
    assert told["units"]["units"] == "grid"
    used = members(searching, "attribute", job)
    assert {("fills", "zero"), ("units", "grid"), ("methods", "best_order")} <= set(used)


@pytest.mark.parametrize(
    ("option", "value", "listed"), [("fill", "noise", "fills: mean, zero"), ("units", "slic", "units: grid")]
)
def test_order_of_what_the_study_does_not_flip_is_refused(searching, option, value, listed):
    with pytest.raises(ClxaiError, match=rf"methods\.best_zero\.{option} must be one of flipping\.{listed}\. Got '{value}'"):
        check(changed(searching, {f"methods.best_zero.{option}": value}))
