"""Metrics of the mask bank: closed forms on additive games, a peer, and what they must not depend on."""

import itertools

import numpy as np
import pytest
import torch
import xarray
from captum.metrics import infidelity
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.flipping.curves import flip_curves
from clxai.mask_bank.drawing import draw_masks, held_out_of, laws_of
from clxai.mask_bank.probing import fill_bank
from clxai.measures.metrics.base import measure, reading
from clxai.measures.metrics.faithfulness import by_size
from clxai.measures.metrics.masks import masks_of, unit_values
from clxai.planning import params
from clxai.planning.outputs import banks_measured, banks_needed, metrics_of
from project import changed, check, filled_config, grid

HEADS, FILLS, IMAGES, CLASSES = ["knn", "linear"], ["zero", "mean"], [4, 9, 11], 3
NAMES = reading("masks")
UNIT = np.arange(12).reshape(3, 4).repeat(2, 0).repeat(2, 1)  # 12 units of 2x2 px
PAIRS = 40


def made_curves(images=IMAGES, unit=UNIT):
    """What of a curves file metrics of masks read: names, targets, which differ by head and image, and the label map."""
    target = (np.arange(len(images)) + np.arange(2)[:, None]) % CLASSES
    places = ("y", "x") if unit.ndim == 2 else ("image", "y", "x")
    values = {"target": (("scored_by", "image"), target), "unit": (places, unit)}
    coords = {"explained_by": HEADS, "scored_by": HEADS, "fill": FILLS, "image": images}
    attrs = {"centroid_spread": 1.0, "units": "grid"}
    return xarray.Dataset(values, coords={**coords, "fraction": ("step", [0.0, 1.0])}, attrs=attrs)


def made_bank(value, images=IMAGES, unit=UNIT):
    """A bank whose log-odds are `value(present [image, mask, unit], head, class)`; half of the drawn masks are held out."""
    index = torch.tensor(images)
    present = draw_masks(index, torch.full((len(images),), 12), 12, PAIRS, 0).numpy()
    odds = np.stack([[value(present, head, label) for label in range(CLASSES)] for head in range(2)])
    values = {
        "present": (("image", "mask", "byte"), np.packbits(present, axis=2, bitorder="little")),
        "log_odds": (("image", "mask", "head", "class"), np.moveaxis(odds, (0, 1), (2, 3))),
        "n_units": ("image", np.full(len(images), 12)),
        "unit": (("y", "x"), unit),
    }
    coords = {"image": images, "head": HEADS, "law": ("mask", laws_of(12, PAIRS))}
    return xarray.Dataset(values, coords={**coords, "held_out": ("mask", held_out_of(12, PAIRS // 2, PAIRS // 2))})


def worth(head, label):
    """What each unit is worth to a class by a head."""
    return np.random.default_rng(10 * head + label).normal(size=12)


def additive(present, head, label):
    return 0.7 + present @ worth(head, label)


def made_maps(values):
    """Maps of values [head, image, unit], spread over the four pixels of each unit."""
    pixels = np.asarray(values)[..., UNIT] / 4
    return xarray.Dataset({"attribution": (("head", "image", "y", "x"), pixels)}, coords={"head": HEADS, "image": IMAGES})


@pytest.fixture(scope="module")
def true_values():
    """The values of the target of each head and image."""
    target = made_curves()["target"].values
    return np.array([[worth(head, label) for label in target[head]] for head in range(2)])


@pytest.fixture(scope="module")
def banks():
    return {fill: made_bank(additive) for fill in FILLS}


def measured(values, banks, names=NAMES):
    """Metrics of heads scored by themselves, arrays [head, fill, image]."""
    found = measure(made_curves(), names, masks_of(made_curves(), made_maps(values), banks))
    return {name: np.stack([found[name].values[head, head] for head in range(2)]) for name in names}


CLOSED = {  # of a map that is the true one of an additive game times a factor: what each metric is
    "faithfulness_correlation": np.sign,
    "infidelity": lambda factor: (factor - 1) ** 2,
    "infidelity_scaled": lambda factor: float(factor < 0),
    "sensitivity_n": np.sign,
    "sensitivity_n_few": np.sign,
    "sensitivity_n_most": np.sign,
}


@pytest.mark.parametrize("factor", [1.0, 7.0, 1e-6, -1.0])
def test_multiples_of_the_truth_have_their_closed_form(banks, true_values, factor):
    """1 or 0 for the truth; but for `infidelity`, the scale of a map does not count, and its sign does."""
    found = measured(factor * true_values, banks)
    for name in NAMES:
        np.testing.assert_allclose(found[name], CLOSED[name](factor), atol=1e-9, err_msg=name)


def test_map_of_zeros_says_nothing(banks, true_values):
    found = measured(0 * true_values, banks)
    assert (found["infidelity"] == 1).all() and (found["infidelity_scaled"] == 1).all()
    for name in ("faithfulness_correlation", "sensitivity_n"):
        assert np.isnan(found[name]).all()


def test_constant_map_has_no_correlation(banks, true_values):
    """It tells how many units are gone, and not where."""
    found = measured(np.full_like(true_values, 0.1), banks)
    for name in ("faithfulness_correlation", "sensitivity_n"):
        assert np.isnan(found[name]).all()
    assert (found["infidelity_scaled"] < 1).any()


def test_random_maps_are_near_zero_on_average():
    """400 images, by the second head of values above 0: within three standard errors; the best multiple gains little."""
    images, rng = list(range(400)), np.random.default_rng(0)
    values = np.stack([rng.normal(size=(400, 12)), rng.uniform(size=(400, 12))])
    curves, maps = (
        made_curves(images),
        xarray.Dataset(
            {"attribution": (("head", "image", "y", "x"), values[..., UNIT])}, coords={"head": HEADS, "image": images}
        ),
    )
    found = measure(curves, NAMES, masks_of(curves, maps, {"zero": made_bank(additive, images)}))
    for name in ("faithfulness_correlation", "sensitivity_n"):
        for head in HEADS:
            own = found[name].sel(explained_by=head, scored_by=head, fill="zero").values
            assert abs(own.mean()) < 3 * own.std() / 20, (name, head)
    assert found["infidelity_scaled"].sel(fill="zero", explained_by="knn").mean() > 0.9


def test_infidelity_is_captums_on_the_same_masks(true_values):
    """A game with pairs of units; Captum stays in square nats, and takes a negative factor too, which none here needs."""

    def paired(present, head, label):
        return additive(present, head, label) + 0.1 * (present[..., ::2] & present[..., 1::2]).sum(-1)

    curves, bank = made_curves(), made_bank(paired)
    own = (bank["law"] == "bernoulli").values & bank["held_out"].values.astype(bool)
    values = 1.3 * true_values
    found = measure(curves, ["infidelity", "infidelity_scaled"], masks_of(curves, made_maps(values), {"zero": bank}))
    for (head, image), (name, scaled) in itertools.product(
        [(0, 0), (1, 2)], [("infidelity", False), ("infidelity_scaled", True)]
    ):
        label = int(curves["target"][head, image])
        present = np.unpackbits(bank["present"].values[image], axis=1, bitorder="little", count=12)[own]
        gone = torch.from_numpy(1.0 - present)

        def value(units, head=head, label=label):
            return torch.from_numpy(paired(units.numpy() > 0.5, head, label))

        peer = infidelity(
            value,
            lambda inputs, gone=gone: (gone, inputs - gone),
            torch.ones(1, 12, dtype=torch.float64),
            torch.from_numpy(values[head, image][None]),
            n_perturb_samples=len(gone),
            normalize=scaled,
        )
        lost = value(torch.ones(1, 12)) - value(1 - gone)
        expected = float(peer) / float((lost**2).mean())
        assert float(found[name].isel(explained_by=head, scored_by=head, image=image, fill=0)) == pytest.approx(expected)


def test_correlations_of_each_size_are_listed_with_their_masks(banks, true_values):
    masks = masks_of(made_curves(), made_maps(true_values), banks)
    found = by_size(masks)
    for image in range(3):
        own = found.image == image
        assert (np.diff(found.n[own]) > 0).all()
        assert found.count[own].tolist() == [int((masks.gone[image] == n).sum()) for n in found.n[own]]


def test_masks_that_methods_are_fitted_on_are_not_read(banks, true_values):
    moved = {fill: bank.copy(deep=True) for fill, bank in banks.items()}
    for bank in moved.values():
        bank["log_odds"][:, (bank["held_out"].values == 0) & (bank["law"].values != "all")] += 5.0
    before, after = measured(true_values + 0.1, banks), measured(true_values + 0.1, moved)
    for name in NAMES:
        np.testing.assert_array_equal(before[name], after[name])


def test_numbers_of_an_image_do_not_depend_on_the_others(banks, true_values):
    curves, maps = made_curves(), made_maps(true_values + 0.1)
    whole = measure(curves, NAMES, masks_of(curves, maps, banks))
    one = [1]
    part = masks_of(curves.isel(image=one), maps.isel(image=one), {fill: bank.isel(image=one) for fill, bank in banks.items()})
    xarray.testing.assert_equal(measure(curves.isel(image=one), NAMES, part), whole.isel(image=one))


def test_fill_without_a_bank_and_map_that_is_not_finite_are_undefined(banks, true_values):
    values = np.where(np.arange(3)[:, None] == 1, np.nan, true_values)
    found = measured(values, {"mean": banks["mean"]})
    for name in NAMES:
        assert np.isnan(found[name][:, 0]).all() and np.isnan(found[name][:, 1, 1]).all()
        assert np.isfinite(found[name][:, 1, [0, 2]]).all()


def test_value_of_a_unit_is_the_sum_of_its_pixels_or_its_own():
    """Label maps of each image's own, with different numbers of units; values that belong to units are as they are."""
    unit = np.stack([np.zeros((6, 8), int), UNIT, UNIT // 2])
    pixels = np.random.default_rng(0).normal(size=(2, 3, 6, 8))
    maps = xarray.Dataset({"attribution": (("head", "image", "y", "x"), pixels)}, coords={"head": HEADS, "image": IMAGES})
    curves = made_curves(unit=unit)
    sums, means = unit_values(maps, curves), unit_values(maps.assign_attrs(aligned_to="unit"), curves)
    for head, image, number in itertools.product(range(2), range(3), range(12)):
        own = pixels[head, image][unit[image] == number]
        assert sums[head, image, number] == pytest.approx(own.sum())
        assert means[head, image, number] == pytest.approx(own.mean() if len(own) else 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda banks: {}, "metrics of masks need a mask bank of units 'grid'. Got none"),
        (lambda banks: {"mean": banks["mean"].isel(image=[1, 0, 2])}, "bank of fill 'mean' is of other images than the curves"),
        (lambda banks: {"mean": banks["mean"].isel(head=[0])}, "bank of fill 'mean' is of other heads than the curves"),
        (lambda banks: {"mean": made_bank(additive, unit=UNIT.T.reshape(6, 8))}, "is of other units than the curves"),
    ],
    ids=["none", "images", "heads", "units"],
)
def test_bank_that_is_not_of_the_curves_is_refused(banks, true_values, change, message):
    with pytest.raises(ClxaiError, match=message):
        masks_of(made_curves(), made_maps(true_values), change(banks))


def test_metric_of_masks_cannot_be_without_them():
    with pytest.raises(ClxaiError, match=r"metric 'infidelity' reads a mask bank\. Got none"):
        measure(made_curves(), ["infidelity"])


def test_explanations_of_a_network_are_more_faithful_than_random_maps(few):
    """Kernel SHAP, of masks that are not these, before a random map; from a real bank, real curves and real maps."""
    zero = {"name": "zero", "fill": "zero", "options": {}, "seed": 0}
    bank = fill_bank(few, {"units": grid(8, 4), "fill": zero, "masks": 512, "held_out": 0.25, "seed": 0, "batch_size": 256})
    settings = {"fills": ["zero"], "units": grid(8, 4), "steps": 2, "seed": 0, "batch_size": 64, "precision": "float32"}
    settings |= {"trajectories": 0, "bank_k": 5}
    found = {}
    for name, options in (("random", {}), ("kernel_shap", {"units": "grid", "fill": "zero"})):
        maps = explain(few, name, options, 0, bank=bank if options else None)
        curves = flip_curves(few, maps, settings)
        table = measure(curves, NAMES, masks_of(curves, maps, {"zero": bank}))
        found[name] = table.sel(explained_by="linear", scored_by="linear")
    for name, sign in (("faithfulness_correlation", 1), ("infidelity_scaled", -1), ("infidelity", -1), ("sensitivity_n", 1)):
        assert (sign * (found["kernel_shap"][name] - found["random"][name]) > 0).all(), name
    assert float(found["kernel_shap"]["faithfulness_correlation"].min()) > 0.5


@pytest.fixture
def study():
    """A study of two fills without a method that reads a mask bank."""
    return changed(filled_config(), {"flipping.fills": ["mean", "blur"], "study.seeds": [0, 1], "study.models": ["ce", "supcon"]})


def test_study_measures_masks_where_methods_have_their_bank_filled(study):
    """By default a metric costs no forward pass; of fills without a bank there is no number."""
    assert not set(NAMES) & set(metrics_of(study)) and banks_measured(study) == []
    assert params.summarise(study, None)["banks"] == []
    study["study"]["methods"] += ["lime"]
    check(study)
    assert set(NAMES) < set(metrics_of(study))
    assert {(bank.model, bank.fill) for bank in banks_measured(study)} == {("ce", "mean"), ("supcon", "mean")}
    expected = [{"model": model, "seed": seed, "units": "grid", "fill": "mean"} for model in ("ce", "supcon") for seed in (0, 1)]
    assert params.summarise(study, None)["banks"] == expected


def test_metric_that_is_named_has_its_banks_filled(study):
    """Of every fill that can have one."""
    named = changed(study, {"study.metrics": [*reading("curves"), "infidelity"], "flipping.fills": ["mean", "nun", "blur"]})
    check(named)
    assert [bank.fill for bank in banks_needed(named)] == ["mean", "blur"] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flipping.fills": ["nun"]}, "'infidelity' reads a mask bank, and flipping.fills has none that can have one: nun"),
        ({"mask_bank.held_out": 0.01}, "at least 16 held-out masks of a law. Got 6: raise mask_bank.masks or mask_bank.held_out"),
    ],
    ids=["fill", "few"],
)
def test_metric_of_masks_that_cannot_be_is_refused_while_planning(study, changes, message):
    with pytest.raises(ClxaiError, match=message):
        check(changed(study, {"study.metrics": [*reading("curves"), "infidelity"], **changes}))
