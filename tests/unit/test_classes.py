"""Random logit: closed forms of opposite, equal, scaled and empty maps, and which maps a study compares."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.measures.classes import COLUMNS, class_similarities, class_table
from clxai.planning import params
from clxai.planning.classes import class_pairs
from clxai.planning.outputs import tables_left_out
from clxai.units.base import cut_images
from project import changed, filled_config
from scipy import stats

CUTS = {"grid": cut_images("grid", {"height": 2, "width": 2}, torch.zeros(3, 1, 8, 8))}
OWN = np.random.default_rng(0).normal(size=(2, 3, 8, 8))


def alike(own, other):
    return {measure: values for _, measure, values in class_similarities(own, other, CUTS)}


def test_two_classes_have_opposite_maps_whose_magnitudes_are_equal():
    """Of two classes the log-odds are each other's negative."""
    found = alike(OWN, -OWN)
    for measure in ("class_cosine", "class_spearman"):
        np.testing.assert_allclose(found[measure], -1)
    for measure in ("class_spearman_abs", "class_ssim_abs"):
        np.testing.assert_allclose(found[measure], 1)


def test_scale_of_a_map_does_not_count():
    """With Quantus 0.6.0 SSIM of a map with half of itself is below 1: both are scaled by what else is in their batch."""
    for values in alike(OWN, 0.5 * OWN).values():
        np.testing.assert_allclose(values, 1)


def test_cosine_is_that_of_the_units_means():
    other = np.random.default_rng(1).normal(size=OWN.shape)
    means = [values.reshape(2, 3, 4, 2, 4, 2).mean((3, 5)).reshape(2, 3, 16) for values in (OWN, other)]
    expected = (means[0] * means[1]).sum(-1) / np.sqrt((means[0] ** 2).sum(-1) * (means[1] ** 2).sum(-1))
    np.testing.assert_allclose(alike(OWN, other)["class_cosine"], expected)


@pytest.mark.parametrize(("place", "value"), [((0, 1), 0.0), ((0, 1, 2, 3), np.nan)], ids=["zero", "not finite"])
def test_empty_map_is_undefined_and_not_rewarded(place, value):
    other = OWN.copy()
    other[place] = value
    for measure, values in alike(OWN, other).items():
        assert np.argwhere(np.isnan(values)).tolist() == [[0, 1]], measure


def test_table_has_a_row_for_each_pair_head_and_measure():
    maps = {"lrp": OWN, "other_lrp": -OWN}

    def read(model, seed, method):
        return xarray.Dataset({"attribution": (("head", "image", "y", "x"), maps[method])}, coords={"head": ["knn", "linear"]})

    table = class_table(read, [0, 1], CUTS, [{"model": "ce", "method": "lrp", "other": "other_lrp"}])
    assert list(table.columns) == list(COLUMNS) and len(table) == 2 * 5
    cosine = table[table["measure"] == "class_cosine"]
    assert cosine["mean"].tolist() == pytest.approx([-1, -1]) and cosine["n_seeds"].tolist() == [2, 2]
    assert (table["better"] == -1).all() and set(table["units"]) == {"grid", "all"}


def test_images_of_one_group_are_no_more_than_one():
    """Two images each of four speakers: the interval is that of the means of the speakers."""
    one, two = (np.random.default_rng(seed).normal(size=(1, 8, 8, 8)) for seed in (1, 2))
    maps = {"lrp": one, "other_lrp": two}

    def read(model, seed, method):
        coords = {"head": ["knn"], "image": np.arange(8)}
        return xarray.Dataset({"attribution": (("head", "image", "y", "x"), maps[method])}, coords=coords)

    pairs, speakers = [{"model": "ce", "method": "lrp", "other": "other_lrp"}], pd.Series(np.repeat(list("abcd"), 2))
    apart, together = (class_table(read, [0], CUTS, pairs, groups) for groups in (None, speakers))
    np.testing.assert_allclose(apart["mean"], together["mean"])
    units = apart["measure"] == "class_cosine"
    cosine = alike(one, two)["class_cosine"][0].reshape(4, 2).mean(1)
    half = stats.t.ppf(0.975, 3) * cosine.std(ddof=1) / 2
    assert (together[units]["ci_high"] - together[units]["mean"]).item() == pytest.approx(half)


def test_study_compares_methods_that_it_shows_with_their_other_class():
    plain = filled_config()
    assert class_pairs(plain) == [] and "class_similarity" in tables_left_out(plain)
    methods = {"lrp_other": {"method": "wrong_class", "of": "lrp"}, "cam_other": {"method": "wrong_class", "of": "grad_cam"}}
    shown = ["random", "lrp_other", "lrp", "cam_other"]
    config = changed(plain, {"methods": methods, "study.methods": shown, "study.models": ["ce", "supcon"]})
    expected = [{"model": model, "method": "lrp", "other": "lrp_other"} for model in ("ce", "supcon")]
    assert class_pairs(config) == expected and "class_similarity" not in tables_left_out(config)
    assert params.compare_classes(config, None)["methods"] == ["lrp_other", "lrp"]
