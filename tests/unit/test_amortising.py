"""Explainers learn what is known exactly: Shapley values by least squares, the sign by the local loss, teachers by pattern."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.amortising import learning
from clxai.amortising.explainers import Explainers, record_of
from clxai.amortising.learning import agreement, train_explainer
from clxai.amortising.lessons import Lessons, Teachers, lessons_of
from clxai.amortising.network import Form, build_explainer, load_explainer, save_explainer
from clxai.amortising.objectives import least_squares, local, pattern
from clxai.amortising.schedules import pattern_share, weights_of
from clxai.attribution.costing import counted_products
from clxai.attribution.explaining import explain
from clxai.data.batches import ImageStore
from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.mask_bank.drawing import draw_masks, held_out_of, laws_of
from clxai.mask_bank.probing import fill_bank
from clxai.mask_bank.sizes import SHAPLEY
from clxai.registry import declared
from clxai.training.resuming import SideFile
from project import grid

RECIPE = {
    **declared("methods")["amortised"].semantics["options"],
    **{"epochs": 3, "batch_size": 16, "width": 16, "depth": 1, "masks": 16, "learning_rate": 0.01},
}
ZERO = {"name": "zero", "fill": "zero", "options": {}, "seed": 0}
SETTINGS = {"units": grid(8), "fill": ZERO, "masks": 32, "held_out": 0.25, "seed": 0, "batch_size": None}
SIDES, N_HEADS, N_CLASSES = 6, 2, 3


def store_of(images):
    """Images in memory as a training takes them, stored with 8 bits."""
    return ImageStore((images * 255).round().to(torch.uint8).numpy(), np.arange(len(images)), torch.device("cpu"))


def all_of(store):
    """Every image of a store."""
    return store.take(torch.arange(len(store))).contiguous()


def unit_means(images):
    """Mean colour of the 2x2 px units of grey images of 6x6 px, nine of them."""
    return torch.nn.functional.avg_pool2d(images, 2).flatten(1)


def slopes(seed=0):
    return torch.randn(9, N_HEADS, N_CLASSES, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 20.0])[:, None]


def linear_worth(images, present):
    """Log-odds that are linear in the units that are there; the second head's are twenty times as large."""
    return torch.einsum("nmu,nu,uhc->nmhc", present.float(), unit_means(images), slopes())


def lessons(worth, n_images=24, masks=32, taught=None, seed=0):
    """Random images and a game of nine units, sampled as banks are."""
    store = store_of(torch.rand(n_images, 1, SIDES, SIDES, generator=torch.Generator().manual_seed(seed)))
    images, pairs = all_of(store), masks // 4
    present = draw_masks(torch.arange(n_images), torch.full((n_images,), 9), 9, pairs, seed)
    packed = torch.from_numpy(np.packbits(present.numpy(), axis=2, bitorder="little"))
    labels = torch.arange(SIDES)[:, None] // 2 * 3 + torch.arange(SIDES) // 2
    held = np.array(held_out_of(9, pairs - pairs // 4, pairs // 4))
    counts, heads = torch.full((n_images,), 9), ("linear", "knn")
    return Lessons(store, labels[None], counts, packed, worth(images, present), laws_of(9, pairs), held, heads, taught)


@pytest.fixture
def data():
    """What a training asks of a data set: it is hashed, and says how large images are."""
    nothing = np.zeros(1, np.int64)
    return ImageData("invented", np.zeros((1, 1, SIDES, SIDES), np.uint8), nothing, nothing, ("a", "b", "c"), (0.5,), (0.3,))


def exact_shapley(images):
    """Of a linear game: what each unit adds, whatever else is there."""
    return unit_means(images)[:, :, None, None] * slopes()


def test_least_squares_are_zero_at_the_shapley_values_of_a_linear_game_and_nowhere_near():
    own = lessons(linear_worth)
    batch = own.batch(torch.arange(24), own.masks_of(SHAPLEY))
    exact = exact_shapley(batch.images)

    def loss(values):
        return float(least_squares(values, batch.present, batch.worth, (batch.whole, batch.empty), batch.there, own.scale))

    assert loss(exact) < 1e-9
    for wrong in (exact + 0.1 * own.scale[:, None], -exact, exact.roll(1, 0), torch.zeros_like(exact)):
        assert loss(wrong) > 1e-3


def test_least_squares_over_all_masks_are_least_at_the_shapley_values():
    """Of a game with interactions of every order: each set as often as the Shapley kernel has it, by the definition of values."""
    n, rng = 5, torch.Generator().manual_seed(0)
    inner, outer = (torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((n, 8), (8,)))

    def function(sets):
        return torch.tanh(1.5 * sets @ inner / n**0.5) @ outer

    sets = torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)
    size = sets.sum(1).long()
    share = [math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n) for k in range(n)]
    exact = torch.zeros(n, dtype=torch.float64)
    for unit in range(n):
        without = sets[sets[:, unit] == 0]
        gain = function(without + torch.eye(n, dtype=torch.float64)[unit]) - function(without)
        exact[unit] = (torch.tensor(share, dtype=torch.float64)[without.sum(1).long()] * gain).sum()
    often = {k: round(60 / (math.comb(n, k) * k * (n - k)) * 10) for k in range(1, n)}  # 60 / (C(5, k) k (5 - k)) is 3, 1, 1, 3
    rows = torch.cat([sets[i].expand(often[int(size[i])], n) for i in range(len(sets)) if 0 < size[i] < n])
    ends = [function(torch.full((1, n), end, dtype=torch.float64)).view(1, 1, 1) for end in (1.0, 0.0)]
    there, scale = torch.ones(1, n, dtype=torch.bool), torch.ones(1, dtype=torch.float64)

    def loss(values):
        worth = function(rows)[None, :, None, None]
        return least_squares(values.view(1, n, 1, 1), rows[None], worth, (ends[0], ends[1]), there, scale)

    start = torch.zeros(n, dtype=torch.float64)
    slope, curvature = torch.func.grad(loss)(start), torch.autograd.functional.hessian(loss, start)  # of a quadratic form
    torch.testing.assert_close(torch.linalg.solve(curvature, -slope), exact)


def test_local_loss_has_the_right_sign():
    """The true map of a linear game is best, its negation worst, a random one in between."""
    own = lessons(linear_worth, masks=128)
    batch = own.batch(torch.arange(24), own.masks_of(SHAPLEY))
    target = batch.target[:, None, :, None]
    true = exact_shapley(batch.images).gather(3, target.expand(-1, 9, -1, 1)).squeeze(3).mT
    drop = (batch.whole[:, None] - batch.worth).gather(3, target.expand(-1, batch.worth.shape[1], -1, 1)).squeeze(3)
    random = torch.randn(true.shape, generator=torch.Generator().manual_seed(1))
    losses = [float(local(values, batch.present, drop)) for values in (true, random, -true)]
    assert losses[0] == pytest.approx(0, abs=1e-3)
    assert 0.3 < losses[1] < 0.7
    assert losses[2] == pytest.approx(1, abs=1e-3)


def test_pattern_loss_counts_teachers_by_their_share_and_no_absent_unit():
    values = torch.tensor([[[1.0, 2.0, 4.0, 0.0]], [[3.0, 1.0, 2.0, 0.0]]])
    there = torch.tensor([[True, True, True, False]] * 2)
    same, turned = 5 * values + 1, -values
    taught = torch.stack([same, turned], dim=2)
    taught[..., 3] = 99.0  # a place that no image has
    for share, expected in (((1, 0), 0.0), ((0, 1), 2.0), ((0.5, 0.5), 1.0)):
        own = torch.tensor(share, dtype=torch.float32).expand(2, 1, 2)
        assert float(pattern(values, taught, own, there)) == pytest.approx(expected, abs=1e-4)
    assert float(pattern(values, taught, torch.zeros(2, 1, 2), there)) == 0


def test_deepfaith_weight_is_that_of_the_publication():
    still = [0.5] * 5
    assert [pattern_share(still[:count]) for count in range(5)] == [1.0] * 5
    for later in (0, 10, 50):
        assert pattern_share(still + [0.5] * later) == pytest.approx(1 - 1 / (1 + math.exp(-later / 10)))
    assert pattern_share([0.9, 0.5, 0.9, 0.5, 0.9]) == 1.0
    assert pattern_share([*still, 0.9]) == 1.0  # the variance is above 1e-4: off again
    assert pattern_share([*still, 0.9, *still]) == 0.5
    history = [{"pattern": 0.5}] * 15
    weights = weights_of({**RECIPE, "schedule": "deepfaith"}, history)
    assert weights == {"least_squares": 0.0, "pattern": pytest.approx(0.2689414), "local": pytest.approx(0.7310586)}


def trained(data, recipe, own=None, **settings):
    own = own or lessons(linear_worth)
    return train_explainer(data, own, lessons(linear_worth, 12, seed=5), {**RECIPE, **recipe}, 0, **settings)


def test_explainer_recovers_exact_values_of_all_heads_in_one_pass(data):
    own = lessons(linear_worth, 96, masks=64)
    found = trained(data, {"epochs": 100, "width": 32, "masks": 64}, own).network
    values = found(all_of(own.store), own.labels, own.n_units)
    exact = exact_shapley(all_of(own.store))
    assert values.shape == exact.shape == (96, 9, N_HEADS, N_CLASSES)
    error = (values - exact).square().mean(dim=(0, 1, 3)).sqrt() / exact.square().mean(dim=(0, 1, 3)).sqrt()
    assert (error < 0.05).all(), error


@pytest.mark.parametrize("mixture", [{"local": 1.0}, {"pattern": 1.0}, {"schedule": "deepfaith"}])
def test_every_mixture_learns_the_direction(data, mixture):
    """From nothing to an agreement with masks of images that were not learnt from."""
    own = lessons(linear_worth)
    target = own.batch(torch.arange(24), torch.arange(2)).target[:, None, :, None].expand(-1, 9, -1, 1)
    exact = exact_shapley(all_of(own.store)).gather(3, target)
    taught = Teachers(exact.permute(0, 2, 3, 1), torch.ones(24, N_HEADS, 1))
    result = trained(data, {"least_squares": 0.0, "epochs": 40, "batch_size": 8, **mixture}, replace(own, taught=taught))
    assert result.history[0]["val_correlation"] < result.val_accuracy > 0.8


def test_pattern_without_teachers_is_refused(data):
    with pytest.raises(ClxaiError, match=r"recipe: maps of teachers are needed by pattern and by schedule deepfaith\. Got none"):
        trained(data, {"pattern": 0.1})


def test_best_epoch_on_validation_images_is_kept(data, monkeypatch):
    scores = iter([0.3, 0.6, 0.6, 0.1])
    monkeypatch.setattr(learning, "agreement", lambda *given: next(scores))
    result = trained(data, {"epochs": 4})
    assert (result.epoch, result.val_accuracy) == (3, 0.6)
    assert result.record()["val_correlation"] == 0.6


class Killed(BaseException):
    """What happens to the process."""


@pytest.mark.parametrize("survived", [1, 3])
def test_resumed_training_is_the_undisturbed_one_bit_for_bit(data, tmp_path, monkeypatch, capsys, survived):
    recipe, whole = {"epochs": 4, "local": 0.5}, learning.learn_epoch
    side, left = SideFile(tmp_path / ".state" / "training.safetensors", pause=0.0), iter(range(survived))

    def dying(*given):
        losses = whole(*given)
        if next(left, None) is None:
            raise Killed
        return losses

    monkeypatch.setattr(learning, "learn_epoch", dying)
    with pytest.raises(Killed):
        trained(data, recipe, side=side)
    monkeypatch.setattr(learning, "learn_epoch", whole)
    resumed, expected = trained(data, recipe, side=side), trained(data, recipe)
    assert f"resuming after epoch {survived} of 4" in capsys.readouterr().out
    assert repr(resumed.history) == repr(expected.history)
    assert resumed.record() == expected.record()
    own, other = (result.network.state_dict() for result in (resumed, expected))
    assert all(torch.equal(own[name], other[name]) for name in own)
    trained(data, recipe, side=side, start={"learnt_from": "others"})
    assert "the saved state is ignored and training starts afresh" in capsys.readouterr().out


def explainer(width=16, places=9, seed=0):
    form = Form((1, SIDES, SIDES), (0.5,), (0.3,), ("linear", "knn"), N_CLASSES, places, width, 2)
    built = build_explainer(form, torch.tensor([1.0, 20.0]), seed).eval().requires_grad_(False)
    torch.nn.init.normal_(built.last.weight, generator=torch.Generator().manual_seed(seed))
    return built


def test_map_of_an_image_depends_on_no_other_image_of_the_batch():
    own, network = lessons(linear_worth), explainer()
    values = network(all_of(own.store), own.labels, own.n_units)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    permuted = network(all_of(own.store)[order], own.labels, own.n_units)
    torch.testing.assert_close(permuted, values[order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network(all_of(own.store)[:1], own.labels, own.n_units[:1]), values[:1], rtol=1e-4, atol=1e-4)


def test_units_that_an_image_lacks_are_worth_nothing_and_change_nothing():
    """The same image cut alike, with and without places for more units."""
    own, network = lessons(linear_worth), explainer(places=12)
    labels = own.labels.expand(24, -1, -1)
    values = network(all_of(own.store), labels, own.n_units)
    assert (values[:, 9:] == 0).all() and (values[:, :9] != 0).any()
    merged = torch.where(labels == 8, 7, labels)  # eight units: the ninth is gone for the first image alone
    mixed = network(all_of(own.store), torch.cat([merged[:1], labels[1:]]), torch.tensor([8] + [9] * 23))
    assert (mixed[0, 8:] == 0).all()
    torch.testing.assert_close(mixed[1:], values[1:])


def test_products_of_a_pass_are_counted_with_attention():
    """By hand: 3x3 convolution, per token and block 8 width^2 for its dense layers and 2 width for each other token, the end."""
    own, network = lessons(linear_worth), explainer()
    with counted_products() as counted:
        network(all_of(own.store)[:1], own.labels, own.n_units[:1])
    width, tokens = 16, 9
    blocks = 2 * tokens * (8 * width**2 + 2 * width * tokens)
    assert counted.total == SIDES**2 * 9 * width + blocks + tokens * width * N_HEADS * N_CLASSES


def test_explainer_comes_back_from_its_file(tmp_path):
    network, own = explainer(), lessons(linear_worth)
    save_explainer(network, {"baseline": "zero"}, tmp_path / "explainer.safetensors")
    loaded, record = load_explainer(tmp_path / "explainer.safetensors", torch.device("cpu"))
    assert (loaded.form, record) == (network.form, {"baseline": "zero"})
    given = all_of(own.store), own.labels, own.n_units
    assert torch.equal(loaded(*given), network(*given))


def banks(run):
    """Mask banks of some training and validation images of a run."""
    train, val = (run.at(run.data.indices(split)[:count]) for split, count in (("train", 40), ("val", 12)))
    return fill_bank(train, SETTINGS), fill_bank(val, SETTINGS)


@pytest.fixture(scope="module")
def learnt(tiny_run):
    """Two explainers of a trained run, as the rule makes them."""
    bank, validation = banks(tiny_run)
    settings = {"recipe": {**RECIPE, "epochs": 40}, "seed": 0}
    results = [
        learning.learn(tiny_run.data, bank, validation, None, {**settings, "seed": seed}, torch.device("cpu")) for seed in (0, 1)
    ]
    return Explainers([result.network for result in results], record_of(bank))


def test_method_explains_every_head_and_says_how_far_its_explainers_differ(few, learnt):
    found = explain(few, "amortised", {"units": "grid", "fill": "zero"}, 0, explainers=learnt)
    unit = torch.arange(16)[:, None] // 8 * 2 + torch.arange(16) // 8
    for place, head in enumerate(few.heads):
        own = found.sel(head=head)
        target = torch.from_numpy(own["target"].values).long()
        said = torch.stack([network(few.images, unit[None], torch.full((3,), 4)) for network in learnt.networks])[:, :, :, place]
        values = said.gather(3, target[None, :, None, None].expand(2, 3, 4, 1)).squeeze(3)
        np.testing.assert_allclose(own["attribution"], values.mean(0)[:, unit], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(own["spread"], values.numpy().std(0, ddof=1).__pow__(2).mean(1) ** 0.5, rtol=1e-4)
    assert found.attrs["baseline"] == "zero" and found["baseline_preview"].shape[1:] == (1, 16, 16)
    assert 0 < found["forward_equivalents"].max() < 2


def test_explainers_know_the_images_better_than_a_shuffled_image(tiny_run, learnt):
    checks = lessons_of(tiny_run.data, banks(tiny_run)[1], torch.device("cpu"), "val")
    own = agreement(learnt.networks[0], checks)
    assert own > 0.4
    assert own > 0.1 + agreement(learnt.networks[0], replace(checks, store=store_of(all_of(checks.store).roll(1, 0))))


def test_explainers_never_see_images_of_another_split(tiny_run):
    bank = fill_bank(tiny_run.at(tiny_run.index[:2].numpy()), SETTINGS)
    with pytest.raises(ClxaiError, match=r"explainers learn from train images. Got image"):
        lessons_of(tiny_run.data, bank, torch.device("cpu"), "train")


def test_what_does_not_belong_together_is_refused(few, learnt):
    with pytest.raises(ClxaiError, match=r"method 'amortised' asks trained explainers. Got none"):
        explain(few, "amortised", {}, 0)
    with pytest.raises(ClxaiError, match=r"the explainers were trained for heads softmax, linear, knn, mahalanobis. Got 'other'"):
        explain(replace(few, heads={"other": few.heads["knn"]}), "amortised", {}, 0, explainers=learnt)
    foreign = replace(learnt, networks=[explainer()])
    with pytest.raises(ClxaiError, match=r"for 3 classes and images \[1, 6, 6\], the data have 10 and \[1, 16, 16\]"):
        explain(few, "amortised", {}, 0, explainers=foreign)
