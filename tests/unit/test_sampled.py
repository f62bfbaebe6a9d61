"""Values of units from sampled games, against exact ones by enumeration of all sets; and the methods that are made of them."""

import itertools
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from captum.attr import KernelShap, ShapleyValues
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.fills.base import fill_of
from clxai.heads.base import log_odds
from clxai.mask_bank.drawing import draw_masks, held_out_of, laws_of
from clxai.mask_bank.estimating import (
    conditional_means,
    constrained_regression,
    explained_variance,
    left_out,
    regression,
)
from clxai.mask_bank.game import Game
from clxai.mask_bank.probing import fill_bank
from clxai.mask_bank.removing import Removal
from clxai.mask_bank.sizes import BERNOULLI, LEAVE_ONE_OUT, SHAPLEY, pairs_of
from clxai.registry import declared
from clxai.runtime.memory import AT_ONCE, Most
from project import grid

READING = [name for name, entry in declared("methods").items() if entry.semantics["reads_masks"] != "nothing"]
ZERO = {"name": "zero", "fill": "zero", "options": {}, "seed": 0}


def worth(n_units, seed=0):
    """An invented set function with interactions of every order: masks [..., unit] -> [...]."""
    rng = torch.Generator().manual_seed(seed)
    inner, outer = (torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((n_units, 8), (8,)))
    return lambda masks: torch.tanh(1.5 * masks.double() @ inner / n_units**0.5) @ outer


@cache
def all_sets(n_units):
    return torch.tensor(list(itertools.product([0, 1], repeat=n_units)))


def marginal(function, n_units, unit):
    """Size of each set without a unit, and what the unit adds to it."""
    sets = all_sets(n_units)
    without = sets[sets[:, unit] == 0]
    return without.sum(1), function(without.scatter(1, torch.full((len(without), 1), unit), 1)) - function(without)


def exact_shapley(function, n_units):
    """The definition: over all orders, k! (u - k - 1)! / u! for each set of k others."""
    share = [math.factorial(k) * math.factorial(n_units - k - 1) / math.factorial(n_units) for k in range(n_units)]
    parts = [marginal(function, n_units, unit) for unit in range(n_units)]
    return torch.stack([(torch.tensor(share, dtype=torch.float64)[size] * added).sum() for size, added in parts])


def exact_banzhaf(function, n_units):
    """The definition: the mean over all sets of the others."""
    return torch.stack([marginal(function, n_units, unit)[1].mean() for unit in range(n_units)])


def sampled(function, n_units, masks, n_images=8, seed=0, most=None, held_out=0.2):
    """The game of a set function as a bank samples it; images differ by their draws alone."""
    fitted, held = pairs_of(masks, held_out)
    index, most = torch.arange(n_images), most or n_units
    counts = torch.full((n_images,), n_units)
    present = draw_masks(index, counts, most, fitted + held, seed)
    laws, flags = laws_of(most, fitted + held), torch.tensor(held_out_of(most, fitted, held))
    return Game(present, function(present[..., :n_units]), counts, laws, flags)


def enumerated(function, n_units):
    """A game whose masks by coins are all sets, once each, none held out."""
    sets = all_sets(n_units).bool()
    fixed = torch.stack([torch.ones(n_units), torch.zeros(n_units)]).bool()
    masks = torch.cat([fixed, sets])[None]
    return Game(
        masks,
        function(masks),
        torch.tensor([n_units]),
        ["all", "none", *[BERNOULLI] * len(sets)],
        torch.zeros(2 + len(sets)).bool(),
    )


def distance(found, expected):
    """Relative L2 error, the mean over images."""
    return float(((found - expected).norm(dim=-1) / expected.norm()).mean())


def test_kernel_shap_is_exact_where_units_do_not_interact():
    weights = torch.linspace(-1, 2, 10, dtype=torch.float64)
    found = constrained_regression(sampled(lambda masks: 0.3 + masks.double() @ weights, 10, 160))
    torch.testing.assert_close(found.account.values, weights.expand(8, -1))
    assert float(found.error.max()) < 1e-9


def test_kernel_shap_nears_exact_shapley_values_like_one_over_the_root_of_the_masks():
    """12 units; 192 masks are within .11 (of a bank of 768: half are of this law, half of these are held out)."""
    errors = {}
    for fitted in (96, 192, 384, 768):
        found = [
            constrained_regression(sampled(worth(12, s), 12, 4 * fitted, 20, s, held_out=0.5)).account.values for s in range(3)
        ]
        errors[fitted] = np.mean([distance(one, exact_shapley(worth(12, s), 12)) for s, one in enumerate(found)])
    assert errors[192] <= 0.11
    slope = np.polyfit(np.log(list(errors)), np.log(list(errors.values())), 1)[0]
    assert -0.65 < slope < -0.4


def test_kernel_shap_is_unbiased_and_knows_its_error():
    """The mean over many banks is nearer than any one; standard errors are as large as the errors are."""
    expected = exact_shapley(worth(10), 10)
    found = constrained_regression(sampled(worth(10), 10, 400, n_images=200))
    errors = found.account.values - expected
    assert float(errors.mean(0).norm()) < 0.15 * float(errors.norm(dim=1).mean())
    ratio = ((errors / found.error) ** 2).mean(0).sqrt()
    assert ((ratio > 0.75) & (ratio < 1.35)).all()


def test_shapley_values_add_up_whatever_the_sample():
    game = sampled(worth(10), 10, 160)
    gap = constrained_regression(game).account.values.sum(1) - (game.whole - game.empty)
    assert float(gap.abs().max()) < 1e-6


def test_shapley_values_are_those_of_captum():
    """Of the exact method of a peer: ShapleyValues goes through all orders; 5 units."""
    function = worth(5)
    peer = ShapleyValues(lambda masks: function(masks)).attribute(torch.ones(1, 5, dtype=torch.float64))[0]
    torch.testing.assert_close(exact_shapley(function, 5), peer.double(), rtol=1e-4, atol=1e-5)


def test_unpaired_peer_needs_more_masks():
    """Captum's KernelShap with as many masks, of which none are paired, is farther from the exact values."""
    function, expected = worth(10), exact_shapley(worth(10), 10)
    torch.manual_seed(0)
    peer = KernelShap(lambda masks: function(masks))
    theirs = [peer.attribute(torch.ones(1, 10, dtype=torch.float64), n_samples=162)[0] for _ in range(5)]
    ours = constrained_regression(sampled(function, 10, 640, held_out=0.5)).account.values
    assert distance(ours, expected) < distance(torch.stack(theirs), expected) < 1


def test_regression_without_weights_and_penalty_is_the_banzhaf_value():
    game, expected = enumerated(worth(10), 10), exact_banzhaf(worth(10), 10)
    torch.testing.assert_close(regression(game).values[0], expected)
    assert distance(regression(game, penalty=0.0, width=20.0).values, expected) < 0.01
    assert distance(regression(game, penalty=0.0, width=0.1).values, expected) > 0.05
    torch.testing.assert_close(conditional_means(game).values[0], expected)


def test_sampled_banzhaf_values_near_the_exact_ones():
    expected = exact_banzhaf(worth(10), 10)
    errors = [distance(regression(sampled(worth(10), 10, masks)).values, expected) for masks in (160, 640, 2560)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_mean_of_masks_with_a_unit_is_twice_as_far_from_the_mean_as_that_without():
    """RISE on units: the difference of means with and without, written out."""
    game = sampled(worth(6), 6, 80)
    present, value = game.of(BERNOULLI)
    for image, unit in itertools.product(range(8), range(6)):
        inside = present[image, :, unit].bool()
        expected = value[image, inside].mean() - value[image, ~inside].mean()
        assert float(conditional_means(game).values[image, unit]) == pytest.approx(float(expected))


def test_lime_is_that_of_a_ridge_regression_with_weights():
    """scikit-learn's, on the same masks; its penalty and kernel are those of the published LIME."""
    from sklearn.linear_model import Ridge

    game = sampled(worth(8), 8, 160)
    present, value = (array.numpy() for array in game.of(BERNOULLI))
    cosine = present.sum(2) / np.maximum(np.sqrt(present.sum(2)) * np.sqrt(8), 1e-12)
    found = regression(game, penalty=1.0, width=0.25)
    for image in range(8):
        weight = np.sqrt(np.exp(-((1 - cosine[image]) ** 2) / 0.25**2))
        peer = Ridge(alpha=1.0).fit(present[image], value[image], sample_weight=weight)
        np.testing.assert_allclose(found.values[image], peer.coef_, rtol=1e-6)
        assert float(found.base[image]) == pytest.approx(peer.intercept_)


def test_left_out_is_what_the_whole_loses_without_a_unit():
    function = worth(7)
    whole = torch.ones(7)
    expected = torch.stack([function(whole) - function(whole.scatter(0, torch.tensor([unit]), 0)) for unit in range(7)])
    torch.testing.assert_close(left_out(sampled(function, 7, 8)).values, expected.expand(8, -1))


ESTIMATES = {
    "banzhaf": (regression, BERNOULLI),
    "lime": (lambda game: regression(game, 1.0, 0.25), BERNOULLI),
    "rise": (conditional_means, BERNOULLI),
    "kernel_shap": (lambda game: constrained_regression(game).account, SHAPLEY),
    "leave_one_out": (left_out, BERNOULLI),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_held_out_masks_are_for_judging_alone(name):
    """What they are worth is changed: every value is the same to the bit, R2 is another."""
    estimate, law = ESTIMATES[name]
    game = sampled(worth(9), 9, 160)
    moved = replace(game, value=game.value + game.held_out * torch.linspace(-1, 1, game.value.shape[1]))
    before, after = estimate(game), estimate(moved)
    assert torch.equal(before.values, after.values) and torch.equal(before.base, after.base)
    assert (explained_variance(game, before, law) != explained_variance(moved, after, law)).all()


@pytest.mark.parametrize("name", ESTIMATES)
def test_values_depend_neither_on_the_batch_nor_on_units_that_others_have(name):
    """Places are whole bytes, as in a bank; the same to the bit whatever the other images of the batch."""
    estimate, _ = ESTIMATES[name]
    game, wide = sampled(worth(9), 9, 160, most=16), sampled(worth(9), 9, 160, most=24)
    for some in (slice(3, 4), slice(1, 7)):
        part = replace(game, present=game.present[some], value=game.value[some], n_units=game.n_units[some])
        assert torch.equal(estimate(part).values, estimate(game).values[some])
    torch.testing.assert_close(estimate(wide).values[:, :9], estimate(game).values[:, :9])
    assert not estimate(wide).values[:, 9:].any()


@pytest.mark.parametrize("name", ESTIMATES)
def test_explained_variance_is_its_definition_on_the_held_out_masks(name):
    estimate, law = ESTIMATES[name]
    game = sampled(worth(9), 9, 160)
    account, (present, value) = estimate(game), game.of(law, held_out=True)
    told = account.base[:, None] + (present * account.values[:, None]).sum(2)
    expected = 1 - ((value - told) ** 2).mean(1) / value.var(dim=1, correction=0)
    torch.testing.assert_close(explained_variance(game, account, law), expected)


def test_explained_variance_is_one_of_an_additive_game_and_undefined_of_a_constant_one():
    weights = torch.linspace(1, 2, 6, dtype=torch.float64)
    game = sampled(lambda masks: masks.double() @ weights, 6, 80)
    flat = sampled(lambda masks: 0 * masks[..., 0].double(), 6, 80)
    assert explained_variance(game, constrained_regression(game).account, SHAPLEY).min() > 1 - 1e-9
    assert explained_variance(flat, conditional_means(flat), BERNOULLI).isnan().all()


def test_units_that_no_mask_separates_share_what_they_are_worth_together():
    game = sampled(worth(4), 4, 80)
    together = replace(game, present=torch.cat([game.present, game.present[..., 3:]], dim=2), n_units=game.n_units + 1)
    own, shared = constrained_regression(game).account.values, constrained_regression(together).account.values
    torch.testing.assert_close(shared[:, 3:].sum(1), own[:, 3])
    torch.testing.assert_close(shared[:, 3], shared[:, 4])


@pytest.fixture(scope="module")
def bank(few):
    settings = {"units": grid(8, 4), "fill": ZERO, "masks": 1024, "held_out": 0.2, "seed": 0, "batch_size": 256}
    return fill_bank(few, settings)


@pytest.fixture(scope="module")
def maps(few, bank):
    return {name: explain(few, name, {"units": "grid", "fill": "zero"}, 0, bank=bank) for name in READING}


def set_function(run, head, image):
    """What the head says of one image's prediction for any set of its eight units, by the network itself."""
    removing = Removal("grid", {"height": 8, "width": 4}, fill_of(ZERO), 0).on(run.encoder, run.images, run.index)
    target = head.predict(run.embeddings)[image]

    @torch.no_grad()
    def function(masks):
        rows = torch.full((len(masks),), image)
        scores = head.decide(run.encoder.backbone(removing.without(masks == 0, rows)))[0]
        return log_odds(scores, target.expand(len(masks))).double()

    return function


def of_units(maps, head, image):
    """The value in each unit of 8 x 4 px; it must be one value."""
    blocks = maps["attribution"].sel(head=head).values[image].reshape(2, 8, 4, 4).transpose(0, 2, 1, 3).reshape(8, 32)
    assert (np.ptp(blocks, axis=1) == 0).all()
    return torch.from_numpy(blocks[:, 0]).double()


@pytest.mark.parametrize(("head", "within"), [("linear", 0.11), ("knn", 0.25)])
def test_maps_of_a_network_are_near_the_exact_values(few, maps, head, within):
    """Eight units, 256 sets of them embedded one by one; 410 masks of a law. Neighbours change with the mask: votes jump."""
    function = set_function(few, few.heads[head], 1)
    table = function(all_sets(8))

    def looked_up(masks):
        return table[(masks * 2 ** torch.arange(7, -1, -1)).sum(-1)]

    shapley, banzhaf = exact_shapley(looked_up, 8), exact_banzhaf(looked_up, 8)
    assert distance(of_units(maps["kernel_shap"], head, 1), shapley) < 0.11
    assert distance(of_units(maps["banzhaf"], head, 1), banzhaf) < within
    assert distance(of_units(maps["lime"], head, 1), banzhaf) < 2 * within
    assert np.corrcoef(of_units(maps["rise"], head, 1), banzhaf)[0, 1] > 0.8
    whole = torch.ones(8, 8, dtype=torch.long)
    expected = table[-1] - looked_up(whole - torch.eye(8, dtype=torch.long))
    torch.testing.assert_close(of_units(maps["leave_one_out"], head, 1), expected, rtol=1e-3, atol=1e-3)


def test_kernel_shap_reports_how_far_it_has_come(maps):
    found = maps["kernel_shap"]
    assert (found["sampling_error"] > 0).all() and (found["convergence"] < 0.2).all()
    assert found.attrs["baseline"] == "zero"
    assert found["attribution"].sel(head="knn").dims == ("image", "y", "x")


@pytest.mark.parametrize("name", READING)
def test_method_on_units_cannot_be_without_its_bank(few, name):
    with pytest.raises(ClxaiError, match=f"method '{name}' reads a mask bank. Got none: give the file of rule mask_bank"):
        explain(few, name, {"units": "grid", "fill": "zero"}, 0)


@pytest.mark.parametrize("name", [name for name in READING if declared("methods")[name].semantics["masks_per_unit"]])
def test_bank_with_too_few_masks_is_refused(few, bank, name):
    kept = np.isin(bank["law"], ["all", "none", LEAVE_ONE_OUT]) | (np.arange(bank.sizes["mask"]) % 16 < 1)
    with pytest.raises(ClxaiError, match=rf"'{name}' needs at least 4 fitted masks a unit, 32 for 8 units\. Got \d+: raise"):
        explain(few, name, {"units": "grid", "fill": "zero"}, 0, bank=bank.isel(mask=kept))


def test_another_target_is_explained_from_the_same_bank(few, bank, maps):
    """wrong_class runs a method for the runner-up of each image."""
    of = {"name": "leave_one_out", "method": "leave_one_out", "options": {"units": "grid", "fill": "zero"}}
    found = explain(few, "wrong_class", {"of": of}, 0, bank=bank)
    runner_up = few.heads["linear"].decide(few.embeddings)[0].topk(2).indices[:, 1]
    odds = bank["log_odds"].sel(head="linear").values[np.arange(3), :, runner_up]
    np.testing.assert_allclose(of_units(found, "linear", 2), odds[2, 0] - odds[2, 2:10], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", READING)
def test_maps_are_the_same_to_the_bit_in_any_chunks(few, bank, maps, name, monkeypatch):
    monkeypatch.setitem(AT_ONCE, "explained", Most(2, 16))
    found = explain(few, name, {"units": "grid", "fill": "zero"}, 0, bank=bank)
    for variable in found.data_vars:
        np.testing.assert_array_equal(found[variable], maps[name][variable])
