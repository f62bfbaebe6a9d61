"""Controls made of maps: each against its closed form."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.heads.base import log_odds
from clxai.registry import declared

BORROWING = [name for name, entry in declared("methods").items() if entry.semantics["borrows"] == "maps"]


@pytest.fixture(scope="module")
def few(tiny_run):
    return tiny_run.at(tiny_run.index[:6].numpy())


@pytest.fixture(scope="module")
def lent(tiny_run):
    """Maps of twelve images, those of `few` among them."""
    return explain(tiny_run.at(tiny_run.index[:12].numpy()), "input_x_gradient", {}, 3)


def made(run, name, lent, seed=0, **options):
    return explain(run, name, {"of": "input_x_gradient", **options}, seed, borrowed=lent)


def test_borrowed_map_is_that_of_the_same_image_and_head(few, lent):
    found = made(few, "borrowed", lent, model="other", seed=1)
    np.testing.assert_array_equal(found["attribution"], lent["attribution"].sel(image=few.index.numpy()))
    backwards = few.at(few.index.numpy()[::-1].copy())
    np.testing.assert_array_equal(made(backwards, "borrowed", lent)["attribution"], found["attribution"][:, ::-1])


def test_record_says_what_was_borrowed(few, lent):
    attrs = made(few, "borrowed", lent.drop_sel(head="softmax"), model="other", seed=0).attrs
    expected = {"option_of": "input_x_gradient", "option_model": "other", "borrowed_method": "input_x_gradient", "signed": 1}
    expected |= {"borrowed_seed": 3, "borrowed_heads": "softmax: linear, linear: linear, knn: knn, mahalanobis: mahalanobis"}
    assert {name: attrs[name] for name in expected} == expected
    assert made(few, "borrowed", explain(few, "saliency", {}, 0)).attrs["signed"] == 0


def test_head_that_the_other_model_lacks_takes_the_map_of_the_one_instead(few, lent):
    without = lent.drop_sel(head="softmax")
    maps = lent["attribution"].sel(image=few.index.numpy())
    for instead in ("linear", "knn"):
        found = made(few, "borrowed", without, head_if_absent=instead)["attribution"]
        np.testing.assert_array_equal(found.sel(head="softmax"), maps.sel(head=instead))
        np.testing.assert_array_equal(found.sel(head="linear"), maps.sel(head="linear"))


def test_mean_map_is_the_mean_of_the_finite_maps_for_every_image(few, lent):
    spoilt = lent.copy(deep=True)
    spoilt["attribution"][:, 4, 0, 0] = np.nan
    expected = np.delete(lent["attribution"].values, 4, axis=1).mean(axis=1)
    found = made(few, "mean_map", spoilt)["attribution"].values
    for image in range(6):
        np.testing.assert_allclose(found[:, image], expected, rtol=1e-4, atol=1e-6)


def test_class_mean_is_the_mean_over_images_of_the_class_that_the_head_predicts(few, lent):
    found = made(few, "class_mean", lent)
    for head in few.heads:
        targets, maps = (lent[name].sel(head=head).values for name in ("target", "attribution"))
        for image, target in enumerate(found["target"].sel(head=head).values):
            expected = maps[targets == target].mean(axis=0)
            np.testing.assert_allclose(found["attribution"].sel(head=head)[image], expected, rtol=1e-4, atol=1e-6)


def test_class_without_a_map_has_no_mean(few, lent):
    gone = int(lent["target"].sel(head="knn")[0])
    others = lent.isel(image=(lent["target"] != gone).all("head").values)
    found = made(few, "class_mean", others)
    for head in few.heads:
        absent = ~np.isin(found["target"].sel(head=head), others["target"].sel(head=head))
        assert absent[0]
        np.testing.assert_array_equal(found["attribution"].sel(head=head).isnull().all(("y", "x")), absent)


def owners(found, lent, head):
    """The images whose maps were given to each image."""
    given, maps = found["attribution"].sel(head=head).values, lent["attribution"].sel(head=head).values
    return [int(np.flatnonzero((maps == one).all(axis=(1, 2)))[0]) for one in given]


def test_wrong_image_gives_no_image_its_own_map_nor_one_of_its_class(few, lent):
    for seed in range(5):
        found = made(few, "wrong_image", lent, seed)
        for head in few.heads:
            targets = lent["target"].sel(head=head).values
            chosen = owners(found, lent, head)
            assert all(image != given for image, given in enumerate(chosen))
            assert all(targets[image] != targets[given] for image, given in enumerate(chosen))
    draws = {tuple(owners(made(few, "wrong_image", lent, seed), lent, "knn")) for seed in range(5)}
    assert len(draws) > 1


def test_wrong_image_of_one_class_alone_is_still_another_image(few, lent):
    alike = lent.copy(deep=True)
    alike["target"] = lent["target"] * 0 + made(few, "borrowed", lent)["target"][0, 0]
    chosen = owners(made(few, "wrong_image", alike), alike, "softmax")
    assert all(image != given for image, given in enumerate(chosen))


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 1])
def test_degraded_map_permutes_a_share_of_its_values(few, lent, share):
    found = made(few, "degraded", lent, share=share)["attribution"].values
    maps = lent["attribution"].sel(image=few.index.numpy()).values
    np.testing.assert_array_equal(np.sort(found.reshape(4, 6, -1)), np.sort(maps.reshape(4, 6, -1)))
    moved = (found != maps).mean(axis=(2, 3))
    assert (moved <= round(share * 256) / 256).all()
    assert (moved >= 0.75 * share).all()  # few values stay where they are, by chance or for ties
    if share == 1:
        correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(found[0], maps[0], strict=True)]
        assert np.abs(correlation).max() < 5 / 16


def test_pixels_of_a_smaller_share_are_among_those_of_a_larger_one(few, lent):
    distinct = lent.copy(deep=True)
    distinct["attribution"][:] = np.arange(256.0).reshape(16, 16)
    moved = [made(few, "degraded", distinct, share=share)["attribution"].values for share in (0.2, 0.4, 1.0)]
    plain = np.arange(256.0).reshape(16, 16)
    small, middle, whole = (maps != plain for maps in moved)
    assert (small & ~middle).mean() < 0.01 and (middle & ~whole).mean() < 0.01
    assert small.mean() < middle.mean() < whole.mean()


def test_degrading_is_by_seed_and_image(few, lent):
    one, other = (made(few, "degraded", lent, seed, share=1)["attribution"].values for seed in (0, 1))
    assert (one != other).mean() > 0.5
    alone = few.at(few.index[[4]].numpy())
    np.testing.assert_array_equal(made(alone, "degraded", lent, share=1)["attribution"][:, 0], one[:, 4])


def test_class_code_spells_the_prediction_and_nothing_else(tiny_run):
    found = explain(tiny_run, "class_code", {}, 0)
    maps, target = found["attribution"].values, found["target"].values
    flat, classes = maps.reshape(-1, 256), target.ravel()
    same = np.array([[np.array_equal(a, b) for b in flat] for a in flat])
    np.testing.assert_array_equal(same, classes[:, None] == classes)
    assert not np.array_equal(explain(tiny_run, "class_code", {}, 1)["attribution"], maps)


@pytest.mark.parametrize("of", ["saliency", "integrated_gradients", "lrp", "grad_cam"])
def test_wrong_class_is_the_method_for_the_class_that_scores_second(few, of):
    """Against the method on a head that is told to predict the second class."""
    quick = {"steps": 8, "most_steps": 8, "baseline": "zero"} if of == "integrated_gradients" else {}
    head = few.heads["linear"]
    with torch.no_grad():
        scores, first = head.decide(few.embeddings)
    second = scores.argsort(dim=1)[:, -2]
    assert (second != first).all()
    alone = explain(_with(few, "linear"), "wrong_class", {"of": {"name": "mine", "method": of, "options": quick}}, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(head), "predict", lambda self, embeddings: second)
        expected = explain(_with(few, "linear"), of, quick, 0)
    np.testing.assert_allclose(alone["attribution"], expected["attribution"], rtol=1e-4, atol=1e-5)
    assert (alone.attrs["option_of"], alone.attrs["borrowed_method"]) == ("mine", of)
    assert alone.attrs["signed"] == expected.attrs["signed"]
    assert alone["target"].values[0].tolist() == first.tolist()
    np.testing.assert_allclose(alone["log_odds"][0], log_odds(scores, first), rtol=1e-5)
    assert alone.attrs["baseline"] == ("zero" if of == "integrated_gradients" else "none")


def _with(run, head):
    return replace(run, heads={head: run.heads[head]})


@pytest.mark.parametrize("name", BORROWING)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lent: None, "borrows the maps of 'input_x_gradient'. Got none"),
        (lambda lent: lent.isel(y=slice(8)), "the maps of 'input_x_gradient' are of (8, 16), the images of"),
        (lambda lent: lent.drop_sel(head=["linear", "knn"]), "the maps of 'input_x_gradient' have no head 'linear', nor"),
    ],
    ids=["none", "size", "heads"],
)
def test_maps_that_cannot_be_borrowed_are_refused(few, lent, name, change, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        made(few, name, change(lent))


@pytest.mark.parametrize("name", ["borrowed", "degraded"])
def test_maps_of_other_images_are_refused(few, lent, name):
    others: xarray.Dataset = lent.isel(image=slice(3, 12))
    with pytest.raises(ClxaiError, match="the borrowed maps are of other images"):
        made(few, name, others)
