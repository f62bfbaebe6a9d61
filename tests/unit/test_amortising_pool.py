"""The pool of teachers: names follow maps, and duplicates and unfaithful maps go with a reason, by masks of training images."""

import numpy as np
import pytest
import torch
import xarray
from clxai.amortising.pool import gather
from clxai.errors import ClxaiError
from clxai.mask_bank.drawing import draw_masks, held_out_of, laws_of

N_IMAGES, SIDES, N_UNITS = 5, 6, 9
UNIT = np.arange(SIDES)[:, None] // 2 * 3 + np.arange(SIDES) // 2
WORTH = np.random.default_rng(0).normal(size=(N_IMAGES, N_UNITS))  # of class 0, which is always predicted


@pytest.fixture(scope="module")
def bank():
    """A mask bank of a game in which each unit adds its worth to class 0."""
    pairs = 32
    masks = draw_masks(torch.arange(N_IMAGES), torch.full((N_IMAGES,), N_UNITS), N_UNITS, pairs, 0).numpy()
    log_odds = np.einsum("imu,iu->im", masks, WORTH)[:, :, None, None] * np.array([1.0, -1.0]) + np.array([99.0, -99.0])
    arrays = {
        "present": (("image", "mask", "byte"), np.packbits(masks, axis=2, bitorder="little")),
        "log_odds": (("image", "mask", "head", "class"), log_odds.astype(np.float32)),
        "n_units": ("image", np.full(N_IMAGES, N_UNITS, np.int32)),
        "unit": (("y", "x"), UNIT),
    }
    split = {"law": ("mask", laws_of(N_UNITS, pairs)), "held_out": ("mask", np.array(held_out_of(N_UNITS, 24, 8), dtype=np.int8))}
    return xarray.Dataset(arrays, {"image": np.arange(N_IMAGES) + 10, "head": ["linear"], **split})


def maps(values, target=0):
    """What a method returns for these values of units."""
    own = {
        "attribution": (("head", "image", "y", "x"), values[:, UNIT][None].astype(np.float32)),
        "target": (("head", "image"), np.full((1, N_IMAGES), target, np.int16)),
    }
    return xarray.Dataset(own, {"head": ["linear"], "image": np.arange(N_IMAGES) + 10})


TEACHERS = {
    "true": maps(WORTH),
    "negated": maps(-WORTH),
    "same_order": maps(np.exp(WORTH)),  # the ranks of the true one, and correlated less with what masks say
    "constant": maps(np.ones_like(WORTH)),
    "noisy": maps(WORTH + np.random.default_rng(1).normal(size=WORTH.shape)),
    "other_class": maps(WORTH, target=1),
}
EXPECTED = {
    "true": {"kept"},
    "negated": {"removal_correlation below the quantile"},
    "same_order": {"duplicate of true"},
    "constant": {"ranks nothing"},
    "other_class": {"explains another class"},
}


@pytest.mark.parametrize("order", [list(TEACHERS), list(TEACHERS)[::-1], sorted(TEACHERS)])
def test_names_follow_the_maps_in_any_order(bank, order):
    """A teacher's reasons, values and share are its own, whatever the order in which it is named."""
    pool, table = gather(bank, {name: TEACHERS[name] for name in order}, 0.95, 0.4)
    assert list(table.columns) == ["image", "head", "method", "kept", "reason"]
    assert len(table) == N_IMAGES * len(order)
    told = table.groupby("method")["reason"].agg(set)
    assert {name: told[name] for name in EXPECTED} == EXPECTED
    assert (table["kept"] == (table["reason"] == "kept")).all()
    own = pool["value"].sel(teacher="true", head="linear").values
    assert all(np.corrcoef(own[i], WORTH[i])[0, 1] == pytest.approx(1, abs=1e-5) for i in range(N_IMAGES))
    kept = table.pivot_table(index="image", columns="method", values="kept", aggfunc="first").astype(float)
    share = pool["share"].sel(head="linear").to_pandas()[kept.columns]
    np.testing.assert_allclose(share, kept.div(kept.sum(axis=1), axis=0))


def test_image_without_a_faithful_teacher_is_used_without_one(bank):
    pool, table = gather(bank, {name: TEACHERS[name] for name in ("constant", "other_class")}, 0.9, 0.2)
    assert not table["kept"].any() and not pool["share"].values.any()


def test_single_teacher_is_kept(bank):
    pool, _ = gather(bank, {"negated": TEACHERS["negated"]}, 0.9, 0.2)
    assert (pool["share"] == 1).all()


def test_map_that_is_not_finite_teaches_nothing(bank):
    broken = np.where(np.arange(N_IMAGES)[:, None] == 2, np.nan, WORTH)
    pool, table = gather(bank, {"true": maps(broken)}, 0.9, 0.2)
    assert table["reason"].tolist() == ["kept", "kept", "ranks nothing", "kept", "kept"]
    assert np.isfinite(pool["value"]).all()


def test_maps_of_other_images_are_refused(bank):
    other = TEACHERS["true"].assign_coords(image=np.arange(N_IMAGES))
    with pytest.raises(ClxaiError, match="teacher 'true': its maps are of other images or heads"):
        gather(bank, {"true": other}, 0.9, 0.2)
