"""Groups of images, such as speakers: from the labels of a data set into every table with intervals."""

import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.measures.checks import random_checks
from clxai.measures.contrasts import Settings, contrast_tables
from clxai.measures.groups import groups_at, groups_of, read_groups, with_groups
from clxai.measures.identities import IDENTITIES
from clxai.measures.rows import mean_columns
from clxai.measures.statistics import two_way
from clxai.measures.summaries import mean_table, summary_table, variance_table
from clxai.measures.trust.assessing import assess, trust_table
from clxai.measures.trust.base import Method
from clxai.measures.trust.intervals import draws_of
from clxai.measures.trust.panels import own_scores, panels_of
from clxai.runtime.artefacts import write_arrays
from project import row_of

SPEAKERS = np.repeat(["ann", "bob", "eve", "joe"], 3)
IMAGES = np.arange(20, 32)
NUMBERS = ["srg_matched", "auc_deletion_matched", "auc_insertion_matched"]


@pytest.fixture(scope="module")
def images():
    """Each speaker has a level of its own."""
    rng = np.random.default_rng(0)
    levels = [("ce", "supcon"), (0, 1, 2), ("grid",), ("random", "ig", "lrp"), ("mean",), IMAGES]
    names = ["model", "seed", "units", "method", "fill", "image"]
    table = pd.MultiIndex.from_product(levels, names=names).to_frame(index=False)
    table = table.assign(explained_by="linear", scored_by="linear")
    level = pd.Series(SPEAKERS, IMAGES).map({"ann": 0.0, "bob": 0.5, "eve": 1.0, "joe": 0.2})
    for name in {*NUMBERS, *IDENTITIES}:
        own = (table["method"] != "random") * level.loc[table["image"]].to_numpy() * (1 + (table["model"] == "ce"))
        table[name] = own + 0.1 * rng.normal(size=len(table))
    return with_groups(table, pd.Series(SPEAKERS, IMAGES))


def cube(images, model, method, metric="srg_matched"):
    rows = images[(images["model"] == model) & (images["method"] == method)].sort_values(["seed", "image"])
    return rows[metric].to_numpy().reshape(3, 12)


def interval(values):
    """The interval of one table [seed, image] by the means of the four speakers."""
    return np.ravel(two_way(values.reshape(3, 4, 3).mean(2)[..., None]).interval())


def test_groups_are_read_from_the_labels_where_there_are_any(tmp_path):
    labels = xarray.Dataset({"label": ("image", np.zeros(12, int))}, coords={"image": np.arange(12)})
    write_arrays(labels, tmp_path / "plain.nc")
    write_arrays(labels.assign(group=("image", SPEAKERS)), tmp_path / "spoken.nc")
    assert read_groups(tmp_path / "plain.nc") is None
    groups = read_groups(tmp_path / "spoken.nc")
    assert groups.loc[[1, 11]].tolist() == ["ann", "joe"]
    np.testing.assert_array_equal(groups_at(groups, np.array([11, 0, 1])), [1, 0, 0])


def test_table_of_images_has_the_group_of_each(images):
    assert images.columns.get_loc("group") == images.columns.get_loc("image") + 1
    np.testing.assert_array_equal(groups_of(images.sample(frac=1, random_state=0)), np.repeat(range(4), 3))
    assert groups_of(images.drop(columns="group")) is None


def test_intervals_of_means_are_over_groups(images):
    expected = interval(cube(images, "supcon", "ig"))
    for table in (summary_table(images, NUMBERS, 20, 0), mean_table(images, NUMBERS)):
        row = row_of(table, model="supcon", method="ig", metric="srg_matched")
        np.testing.assert_allclose([row["ci_low"], row["ci_high"]], expected)
        assert row["ci_over"] == "seeds, groups and images"
        assert row["n_images"] == 12
    row = mean_columns(cube(images, "supcon", "ig"), np.repeat(range(4), 3))
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], expected)


def test_bootstrap_draws_groups(images):
    """Speakers differ far more than their images: overlooking them makes the interval half as wide."""
    found, without = (
        row_of(summary_table(table, NUMBERS, 400, 0), model="supcon", method="ig", metric="srg_matched")
        for table in (images, images.drop(columns="group"))
    )
    assert found["boot_high"] - found["boot_low"] > 1.4 * (without["boot_high"] - without["boot_low"])


def test_contrasts_and_their_power_are_over_groups(images):
    settings = Settings([["ce", "supcon"]], 0.05, seeds=[3], images=[12, 1200])
    contrasts, power = contrast_tables(images, ["srg_matched"], settings)
    row = row_of(contrasts, method="ig", head="linear", quantity="value")
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], interval(cube(images, "ce", "ig") - cube(images, "supcon", "ig")))
    few, many = (row_of(power, quantity="value", n_images=n) for n in (12, 1200))
    assert few["n_groups"] == many["n_groups"] == 4
    assert many["detectable"] > 0.9 * few["detectable"]  # more recordings of four speakers are no more speakers


def test_variance_has_the_share_of_groups(images):
    table = variance_table(images, ["srg_matched"])
    row = row_of(table, model="supcon", method="ig")
    assert row["group_share"] > 0.9
    assert row["n_groups"] == 4
    assert row[[f"{part}_share" for part in ("seed", "group", "image", "residual")]].sum() == pytest.approx(1)
    assert "group_variance" not in variance_table(images.drop(columns="group"), ["srg_matched"])


def test_random_check_is_over_groups(images):
    bias = images["group"].map({"ann": 0.1, "bob": 0.6, "eve": 0.9, "joe": 0.2})
    shifted = images.assign(**{name: images[name] + bias for name in IDENTITIES})
    found, without = (min(row["value"] for row in random_checks(t, 0.01)) for t in (shifted, shifted.drop(columns="group")))
    assert without < 0.01 < found  # four speakers are too few to show what twelve images would


def test_trust_measures_draw_groups(images, tmp_path):
    images.to_csv(tmp_path / "images.csv", index=False)
    methods = [Method("random", "random", ("control",)), *(Method(name, name, ("gradient",)) for name in ("ig", "lrp"))]
    panels = panels_of(own_scores(tmp_path / "images.csv", NUMBERS), NUMBERS, methods, [("grid", "mean")])
    np.testing.assert_array_equal(panels["ce", "linear"].groups, np.repeat(range(4), 3))
    members = {"reliability": "reliability"}
    table = trust_table(assess(panels, {"reliability": ["reliability", {}]}, [("grid", "mean")], 0), members)
    assert (table["ci_over"] == "seeds, groups and images").all()


def test_draws_of_groups_have_all_images_of_each():
    groups = np.array([0, 0, 1, 2, 2, 2])
    draws = draws_of(6, 0, groups)
    assert {len(draw) for draw in draws} > {6}
    for draw in draws:
        times = np.bincount(draw, minlength=6)
        assert times[0] == times[1]
        assert times[3] == times[4] == times[5]
        assert times[[0, 2, 3]].sum() == 3
