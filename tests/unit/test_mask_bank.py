"""The mask bank: which masks are drawn, and that what is stored is what the heads say of the images under them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.fills.base import fill_images, fill_of
from clxai.mask_bank import probing
from clxai.mask_bank.drawing import draw_masks, held_out_of, laws_of
from clxai.mask_bank.game import banks_of, read_bank
from clxai.mask_bank.probing import fill_bank
from clxai.mask_bank.sizes import BERNOULLI, LEAVE_ONE_OUT, SHAPLEY, check_masks, pairs_of
from clxai.planning import params
from clxai.planning.borrowing import Bank, bank_read
from clxai.planning.choices import matched_fills
from clxai.planning.outputs import banks_needed
from clxai.planning.usage import members
from clxai.runtime.artefacts import write_arrays
from project import changed, check, filled_config, grid
from scipy.stats import chisquare

ZERO = {"name": "zero", "fill": "zero", "options": {}, "seed": 0}
SETTINGS = {"units": grid(4), "fill": ZERO, "masks": 64, "held_out": 0.25, "seed": 3, "batch_size": 50}
SUPERPIXELS = {"name": "slic", "units": "superpixels", "options": {"n_segments": 9}}


@pytest.fixture(scope="module")
def bank(few):
    return fill_bank(few, SETTINGS)


def drawn(index=range(40), n_units=12, most=None, n_pairs=64, seed=0):
    """Masks of some images, as floats, by law."""
    index = torch.tensor(list(index))
    masks = draw_masks(index, torch.full_like(index, n_units), most or n_units, n_pairs, seed)
    laws = np.array(laws_of(most or n_units, n_pairs))
    return {law: masks[:, laws == law] for law in dict.fromkeys(laws)}


def test_fixed_masks_are_all_none_and_all_but_one():
    masks = drawn(n_units=5, most=6)
    assert masks["all"].int().tolist() == [[[1, 1, 1, 1, 1, 0]]] * 40
    assert not masks["none"].any()
    without = masks[LEAVE_ONE_OUT][0].int()
    assert without[:5, :5].tolist() == (1 - np.eye(5, dtype=int)).tolist()
    assert without[5].tolist() == [1, 1, 1, 1, 1, 0]  # a unit that the image lacks: nothing is gone


@pytest.mark.parametrize("law", [SHAPLEY, BERNOULLI])
def test_masks_are_pairs_of_complements(law):
    masks = drawn(n_units=7, most=9)[law]
    assert (masks[:, ::2, :7] == ~masks[:, 1::2, :7]).all()
    assert not masks[..., 7:].any()


def test_sizes_follow_the_shapley_kernel_and_members_are_any():
    masks = drawn(index=range(200))[SHAPLEY][:, ::2]
    k = np.arange(1, 12)
    expected = 1 / (k * (12 - k))
    counts = np.bincount(masks.sum(dim=2).flatten(), minlength=13)
    assert counts[0] == counts[12] == 0
    assert chisquare(counts[1:12], counts.sum() * expected / expected.sum()).pvalue > 0.001
    assert chisquare(masks.sum(dim=(0, 1)).numpy()).pvalue > 0.001


def test_coins_are_fair():
    masks = drawn(index=range(80))[BERNOULLI][:, ::2].double()
    assert abs(float(masks.mean()) - 0.5) < 4 * 0.5 / masks.numel() ** 0.5
    joint = torch.einsum("imu,imv->uv", masks, masks) / masks[..., 0].numel()
    off = joint[~torch.eye(12, dtype=torch.bool)]
    torch.testing.assert_close(off, torch.full_like(off, 0.25), atol=0.03, rtol=0)


def test_masks_of_an_image_depend_on_nothing_but_the_seed_and_the_image():
    """Not on the other images, nor on how many units these have."""
    some, alone = drawn(index=[9, 4, 30], n_units=7, most=20), drawn(index=[4], n_units=7)
    other = drawn(index=[4], n_units=7, seed=1)
    for law in (SHAPLEY, BERNOULLI):
        assert torch.equal(some[law][1:2, :, :7], alone[law])
        assert not torch.equal(other[law], alone[law])


def test_image_of_one_unit_is_refused():
    with pytest.raises(ClxaiError, match=r"at least two units\. Got one: choose smaller units"):
        drawn(n_units=1)


@pytest.mark.parametrize(("masks", "held_out", "expected"), [(64, 0.25, (12, 4)), (8, 0.5, (1, 1)), (1024, 0.2, (205, 51))])
def test_pairs_of_a_law_are_split_whole(masks, held_out, expected):
    fitted, held = pairs_of(masks, held_out)
    assert (fitted, held) == expected
    flags = np.array(held_out_of(5, fitted, held))
    laws = np.array(laws_of(5, fitted + held))
    assert len(flags) == len(laws) == 2 + 5 + masks
    assert [flags[laws == law].sum() for law in dict.fromkeys(laws)] == [0, 0, 0, 2 * held, 2 * held]


@pytest.mark.parametrize("masks", [4, 10, 1022])
def test_number_of_masks_that_makes_no_pairs_is_refused(masks):
    with pytest.raises(ClxaiError, match=f"mask_bank.masks must be a multiple of 4, at least 8. Got {masks}"):
        pairs_of(masks, 0.2)


@pytest.mark.parametrize("units", [grid(4), SUPERPIXELS], ids=["grid", "superpixels"])
def test_log_odds_are_those_of_the_heads_for_the_images_with_these_units(few, units):
    """Images made pixel by pixel, log-odds from the scores by their definition; of every head, class and kind of mask."""
    bank = fill_bank(few, {**SETTINGS, "units": units})
    bits = np.unpackbits(bank["present"].values, axis=2, bitorder="little").astype(bool)
    unit = np.broadcast_to(bank["unit"].values, (3, 16, 16))
    zero = fill_images(fill_of(ZERO), few.images, few.encoder.mean, few.index, 0)
    for mask in (0, 1, 3, -40, -1):
        there = torch.from_numpy(np.take_along_axis(bits[:, mask], unit.reshape(3, -1).astype(int), 1).reshape(3, 1, 16, 16))
        embeddings = few.encoder(torch.where(there, few.images, zero))
        for head, module in few.heads.items():
            scores = module.decide(embeddings)[0].double()
            for label in (0, 7):
                others = [other for other in range(10) if other != label]
                expected = scores[:, label] - scores[:, others].logsumexp(1)
                found = bank["log_odds"].isel(mask=mask).sel(head=head, **{"class": label})
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_bank_is_the_same_whatever_the_batch_and_the_other_images(few, bank):
    """Masks to the bit; log-odds as far as the convolutions of other batch sizes are."""
    small, alone = fill_bank(few, {**SETTINGS, "batch_size": 7}), fill_bank(few.at(few.index[1:2].numpy()), SETTINGS)
    for found, expected in ((small, bank), (alone, bank.isel(image=[1]))):
        np.testing.assert_array_equal(found["present"], expected["present"])
        np.testing.assert_allclose(found["log_odds"], expected["log_odds"], rtol=1e-3, atol=1e-3)
    again = fill_bank(few, SETTINGS)
    assert again.equals(bank) and again.attrs == bank.attrs


def test_bank_says_what_it_is_of(few, bank, tmp_path):
    write_arrays(bank, tmp_path / "zero.nc")
    stored = read_bank([tmp_path / "zero.nc"])
    assert stored["log_odds"].dims == ("image", "mask", "head", "class")
    assert stored["log_odds"].shape == (3, 2 + 16 + 64, 4, 10)
    assert stored["present"].shape == (3, 82, 2)
    assert [stored.attrs[name] for name in ("units", "units_height", "baseline", "seed", "masks")] == ["grid", 4, "zero", 3, 64]
    assert read_bank([]) is None
    game = banks_of(few, stored, "lime")["knn"].at(torch.tensor([2])).game(torch.tensor([5]))
    assert game.present.shape == (1, 82, 16)
    assert game.whole.tolist() == pytest.approx([float(bank["log_odds"].sel(head="knn", **{"class": 5})[2, 0])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bank: None, "method 'lime' reads a mask bank. Got none"),
        (lambda bank: bank.isel(image=[1, 0, 2]), "method 'lime': the mask bank is of other images or heads"),
        (lambda bank: bank.isel(head=[0, 1]), "method 'lime': the mask bank is of other images or heads"),
    ],
    ids=["missing", "images", "heads"],
)
def test_bank_that_does_not_belong_is_refused(few, bank, change, message):
    with pytest.raises(ClxaiError, match=message):
        banks_of(few, change(bank), "lime")


@pytest.fixture
def reading():
    """A study with three banks' worth of methods."""
    methods = {
        "shap_blur": {"method": "kernel_shap", "fill": "blur"},
        "coarse": {"method": "lime", "units": "wide"},
        "runner_up": {"method": "wrong_class", "of": "banzhaf"},
    }
    names = ["random", "lime", "rise", "shap_blur", "coarse", "runner_up"]
    units = {"grid": {"height": 4, "width": 4}, "wide": {"units": "grid", "height": 8, "width": 4}}
    return changed(filled_config(), {"study.methods": names, "methods": methods, "units": units})


def job_of(method):
    return SimpleNamespace(dataset="digits", model="ce", seed="2", sample="evaluation", method=method)


def test_methods_share_the_banks_of_their_units_and_fill(reading):
    check(reading)
    expected = {
        "lime": ("grid", "mean"),
        "shap_blur": ("grid", "blur"),
        "coarse": ("wide", "mean"),
        "runner_up": ("grid", "mean"),
    }
    for method, place in expected.items():
        assert bank_read(reading, job_of(method)) == Bank("ce", 2, "evaluation", *place)
    assert bank_read(reading, job_of("random")) is None
    assert {bank[3:] for bank in banks_needed(reading)} == set(expected.values())
    assert banks_needed(filled_config()) == []
    assert matched_fills(reading) == {
        "lime": ["mean"],
        "rise": ["mean"],
        "shap_blur": [],
        "coarse": ["mean"],
        "runner_up": ["mean"],
    }


def test_job_of_a_bank_depends_on_what_it_draws_and_fills(reading):
    job = SimpleNamespace(dataset="digits", model="ce", seed="2", sample="evaluation", units="wide", fill="blur")
    told = params.mask_bank(reading, job)
    assert (told["masks"], told["held_out"], told["seed"], told["fill"]["seed"]) == (1024, 0.2, 2, 0)
    assert told["units"] == {"name": "wide", "units": "grid", "options": {"height": 8, "width": 4}}
    used = members(reading, "mask_bank", job)
    assert {("fills", "blur"), ("units", "grid"), ("heads", "knn"), ("networks", "resnet18")} <= set(used)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mask_bank.masks": 512, "units.grid": {"height": 2, "width": 2}},
            r"methods.lime needs at least 4 fitted masks a unit, 256 for 64 units of units.grid on images of .*digits. Got 204",
        ),
        ({"mask_bank.masks": 10}, "mask_bank.masks must be a multiple of 4, at least 8. Got 10"),
        ({"methods.coarse.units": "wid"}, r"methods.coarse.units: unknown kind of units 'wid'. Did you mean 'wide'"),
        (
            {"methods.shap_blur.fill": "nun"},
            "shap_blur.fill: fill 'nun' needs the training images .* a mask bank has none",
        ),
        ({"units.wide.height": 5}, "units.wide"),
    ],
    ids=["few", "pairs", "units", "fill", "tiles"],
)
def test_bank_that_cannot_be_is_refused_while_planning(reading, changes, message):
    with pytest.raises(ClxaiError, match=message):
        check(changed(reading, changes))


def test_too_few_masks_name_the_setting():
    check_masks(256, 4, 64, "methods.kernel_shap")
    with pytest.raises(ClxaiError, match=r"at least 4 fitted masks a unit, 256 for 64 units\. Got 254: raise mask_bank\.masks"):
        check_masks(254, 4, 64, "methods.kernel_shap")


def test_bank_is_the_same_when_memory_runs_out(few, bank, monkeypatch):
    made = probing.prepared_for_flipping

    def limited(encoder, precision):
        prepared = made(encoder, precision)
        own = prepared.backbone.forward

        def forward(inputs):
            if len(inputs) > 20:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return own(inputs)

        prepared.backbone.forward = forward
        return prepared

    monkeypatch.setattr(probing, "prepared_for_flipping", limited)
    np.testing.assert_allclose(fill_bank(few, SETTINGS)["log_odds"], bank["log_odds"], rtol=1e-3, atol=1e-3)
