"""Trust measures: the frame, from a table of images to values with intervals."""

import numpy as np
import pandas as pd
import pytest
from clxai.errors import ClxaiError
from clxai.measures.statistics import two_way
from clxai.measures.trust import assessing, intervals
from clxai.measures.trust.assessing import assess_study, left_out_table, trust_contrast_table, trust_table
from clxai.measures.trust.base import TRUST, Method, alone
from clxai.measures.trust.intervals import draws_of, measure, summarise
from clxai.measures.trust.panels import own_scores, panels_of
from clxai.ranks import mean_ranks, spearman
from project import row_of
from scipy.special import stdtrit
from scipy.stats import rankdata, spearmanr

METRICS = ["auc_deletion_matched", "auc_insertion_matched", "srg_matched"]
METHODS = [Method("random", "random", ("control",)), *(Method(name, name, ("gradient",)) for name in ("ig", "lrp", "cam"))]
SETUPS = [("grid", "mean"), ("grid", "noise")]


def panel_of(values, methods=METHODS, **others):
    """The panel of one array of SRG; deletion falls and insertion rises with it."""
    return alone({"srg_matched": values, "auc_insertion_matched": values, "auc_deletion_matched": -values, **others}, methods)


def table_of(seeds=3, images=8, models=("ce", "supcon"), seed=0):
    """A table of images with own and foreign cells."""
    rng = np.random.default_rng(seed)
    names = [method.name for method in METHODS]
    levels = [
        models,
        ["grid"],
        names,
        ["knn", "linear"],
        ["knn", "linear"],
        ["mean", "noise"],
        range(seeds),
        range(10, 10 + images),
    ]
    keys = ["model", "units", "method", "explained_by", "scored_by", "fill", "seed", "image"]
    table = pd.MultiIndex.from_product(levels, names=keys).to_frame(index=False)
    for metric in [*METRICS, "drift_auc"]:
        table[metric] = rng.normal(size=len(table)) + 0.3 * table["method"].map(names.index)
    return table


@pytest.fixture
def images(tmp_path):
    table_of().to_csv(tmp_path / "images.csv", index=False)
    return tmp_path / "images.csv"


def settings(**changes):
    methods = [{"name": m.name, "member": m.member, "families": m.families, "options": {}} for m in METHODS]
    measures = {"agreement": ["agreement", {}], "concordance": ["concordance", {}]}
    told = {"methods": methods, "setups": [list(s) for s in SETUPS], "references": {}, "metrics": METRICS, "measures": measures}
    return {**told, "left_out": [], "seed": 0, **changes}


@pytest.mark.parametrize("levels", [3, 100])
def test_ranks_and_their_correlation_are_those_of_scipy(levels):
    values = np.random.default_rng(levels).integers(0, levels, size=(20, 2, 7)).astype(float)
    np.testing.assert_array_equal(mean_ranks(values), rankdata(values, axis=-1))
    expected = [spearmanr(*pair).statistic for pair in values]
    np.testing.assert_allclose(spearman(values[:, 0], values[:, 1]), expected, atol=1e-12)


def test_order_of_constant_or_undefined_values_is_undefined():
    values = np.array([[1.0, 1, 1], [1, np.nan, 2], [1, 2, 3]])
    assert np.isnan(spearman(values, np.arange(3.0))).tolist() == [True, True, False]


def test_own_cells_alone_are_read_in_pieces_of_any_size(images, monkeypatch):
    monkeypatch.setattr("clxai.measures.trust.panels.ROWS", 7)
    table = own_scores(images, METRICS)
    assert len(table) == len(table_of()) // 2 and "drift_auc" not in table
    panels = panels_of(table, METRICS, METHODS, SETUPS)
    assert set(panels) == {(model, head) for model in ("ce", "supcon") for head in ("knn", "linear")}
    place = {"model": "ce", "head": "knn", "fill": "noise", "seed": 2, "image": 13, "method": "lrp"}
    assert panels["ce", "knn"]("srg_matched")[2, 3, 1, 1] == np.float32(row_of(table, **place)["srg_matched"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.drop(index=5),
        lambda table: pd.concat([table, table.tail(1)]),
        lambda table: table.assign(fill=table["fill"].astype(str).replace("noise", "zero")),
    ],
    ids=["missing", "twice", "unknown"],
)
def test_table_that_is_not_the_study_is_refused(images, spoil):
    with pytest.raises(ClxaiError, match="the table of images has"):
        panels_of(spoil(own_scores(images, METRICS)), METRICS, METHODS, SETUPS)


def test_table_without_a_column_is_refused(images):
    with pytest.raises(ClxaiError, match=r"images\.csv: not a readable table of images"):
        own_scores(images, ["srg_absent"])


def test_mean_per_image_has_the_interval_of_all_other_tables():
    values = np.random.default_rng(0).normal(size=(4, 12, 4))
    found = measure(lambda panel: {"x": panel("srg_matched")[..., 1]}, panel_of(values), draws_of(12, 0))["x"]
    expected = two_way(values[..., 2, None])
    assert summarise(found) == pytest.approx((expected.mean[0], *np.ravel(expected.interval())))


@pytest.mark.parametrize("per_seed", [True, False])
def test_a_mean_that_is_not_declared_as_one_gets_nearly_the_same_interval(per_seed):
    """The bootstrap of images and the jackknife of seeds are those of the two-way analysis, where it can be compared."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 1, 1)) + rng.normal(size=(1, 40, 1)) + rng.normal(size=(5, 40, 1))
    panel = panel_of(values, METHODS[1:2])
    draws = draws_of(40, 0)
    exact = summarise(measure(lambda p: {"x": p("srg_matched")[..., 0]}, panel, draws)["x"])
    axis = 1 if per_seed else (0, 1)
    found = summarise(measure(lambda p: {"x": p("srg_matched")[..., 0].mean(axis)}, panel, draws)["x"])
    assert found[0] == pytest.approx(exact[0])
    assert found[2] - found[1] == pytest.approx(exact[2] - exact[1], rel=0.15)


@pytest.mark.parametrize("axis", [1, (0, 1)])
def test_interval_of_one_seed_is_over_images(axis):
    values = np.random.default_rng(2).normal(size=(1, 50, 1))
    found = measure(lambda p: {"x": p("srg_matched")[..., 0].mean(axis)}, panel_of(values, METHODS[1:2]), draws_of(50, 0))["x"]
    value, low, high = summarise(found)
    assert value == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * stdtrit(49, 0.975) * values.std(ddof=1) / np.sqrt(50), rel=0.15)


def test_seeds_that_are_not_defined_are_left_out():
    values = np.random.default_rng(3).normal(size=(4, 30, 1))
    values[2] = np.nan
    found = measure(lambda p: {"x": p("srg_matched")[..., 0].mean(1)}, panel_of(values, METHODS[1:2]), draws_of(30, 0))["x"]
    assert np.isfinite(summarise(found)).all()
    assert summarise(found)[0] == pytest.approx(np.nanmean(values))


def test_nothing_defined_gives_no_interval():
    for function in (lambda p: {"x": np.full(len(p("srg_matched")), np.nan)}, lambda p: {"x": np.nan}):
        found = measure(function, panel_of(np.zeros((3, 5, 4))), draws_of(5, 0))["x"]
        assert np.isnan(summarise(found)).all()


def test_differences_are_paired():
    """What two models share in seeds and images is not in the interval of their difference."""
    rng = np.random.default_rng(4)
    shared = 5 * rng.normal(size=(4, 1, 1)) + 5 * rng.normal(size=(1, 20, 1)) + np.zeros((4, 20, 1))
    draws = draws_of(20, 0)
    one, two = (
        measure(lambda p: {"x": p("srg_matched")[..., 0].mean(1)}, panel_of(shared + shift, METHODS[1:2]), draws)["x"]
        for shift in (0.5, 0.0)
    )
    assert summarise(one - two) == pytest.approx((0.5, 0.5, 0.5))


def test_interval_of_the_logarithm_ends_below_one():
    found = measure(
        lambda p: {"x": 1 - np.exp(-p("srg_matched").mean((1, 2)))},
        panel_of(np.random.default_rng(5).normal(size=(4, 9, 1)) + 4, METHODS[1:2]),
        draws_of(9, 0),
    )["x"]
    value, low, high = summarise(found, log=True)
    assert low < value < high < 1


def test_part_of_another_shape_is_refused():
    with pytest.raises(ClxaiError, match=r"part 'x' has shape \(3, 5, 3\)"):
        measure(lambda p: {"x": p("srg_matched")}, panel_of(np.zeros((3, 5, 4))), draws_of(5, 0))


def test_tables_hold_every_model_head_and_part(images, capsys):
    lacking = {"measure": "oracle", "needs": "oracle", "reason": "none"}
    given = settings(left_out=[lacking])
    members = {name: name for name in given["measures"]}
    found = assess_study(images, given)
    table = trust_table(found, members)
    assert list(table.columns) == list(assessing.COLUMNS)
    assert len(table) == 2 * 4 * 3  # measures, cells and parts
    assert set(table["fill"]) == set(table["units"]) == {"all"}
    assert table["n_methods"].eq(3).all() and table["n_images"].eq(8).all() and table["ci_over"].eq("seeds and images").all()
    assert ((table["ci_low"] <= table["value"]) & (table["value"] <= table["ci_high"])).all()
    contrasts = trust_contrast_table(found, members, [["supcon", "ce"]])
    assert list(contrasts.columns) == list(assessing.CONTRAST_COLUMNS)
    where = {"measure": "agreement", "part": "srg", "head": "knn"}
    difference = row_of(table, **where, model="supcon")["value"] - row_of(table, **where, model="ce")["value"]
    assert row_of(contrasts, **where)["difference"] == pytest.approx(difference)
    assert "left out: oracle needs oracle: none" in capsys.readouterr().out
    assert left_out_table(given["left_out"]).to_dict("records") == [lacking]


def test_study_without_measures_has_tables_with_a_header_alone(images):
    found = assess_study(images, settings(measures={}))
    tables = trust_table(found, {}), trust_contrast_table(found, {}, [["supcon", "ce"]]), left_out_table([])
    assert [len(table) for table in tables] == [0, 0, 0]


def test_intervals_end_at_the_range_of_the_measure(images):
    table = trust_table(assess_study(images, settings()), {"agreement": "agreement", "concordance": "concordance"})
    agreement = table[table["measure"] == "agreement"]
    assert agreement["ci_low"].min() >= -1 and agreement["ci_high"].max() <= 1
    assert TRUST["agreement"].semantics["high"] == 1


def test_draws_are_the_same_for_all_models_and_others_for_another_seed():
    assert (draws_of(9, 0) == draws_of(9, 0)).all() and (draws_of(9, 0) != draws_of(9, 1)).any()
    assert draws_of(9, 0).shape == (intervals.DRAWS, 9)


def test_models_are_held_against_their_references(images):
    """In the set-up and the head that is meant, and for models with a reference alone."""
    given = settings(references={"supcon": "ce"}, measures={"references": ["references", {}]})
    found = trust_table(assess_study(images, given), {"references": "references"})
    assert set(found["model"]) == {"supcon"} and len(found) == 2 * 2 * 3  # heads, set-ups and parts
    table = own_scores(images, METRICS)
    table = table[(table["head"] == "linear") & (table["fill"] == "noise") & (table["method"] != "random")]
    means = table.groupby(["model", "seed", "method"], observed=True)["srg_matched"].mean().unstack("method")
    expected = [spearmanr(means.loc["supcon"].loc[seed], means.loc["ce"].loc[seed]).statistic for seed in range(3)]
    found = row_of(found, head="linear", fill="noise", part="srg_own")
    assert found["value"] == pytest.approx(np.mean(expected))


def test_methods_that_a_model_lacks_are_in_none_of_its_panels():
    methods = [*METHODS, Method("past", "borrowed", ("control",), {"of": "ig", "model": "start"}, absent=["ce"])]
    table = table_of()
    past = table[(table["method"] == "cam") & (table["model"] == "supcon")].assign(method="past")
    table = pd.concat([table, past]).rename(columns={"scored_by": "head"}).query("explained_by == head")
    panels = panels_of(table, METRICS, methods, SETUPS)
    assert [method.name for method in panels["supcon", "knn"].methods] == ["random", "ig", "lrp", "cam", "past"]
    assert panels["ce", "knn"].methods == METHODS
    whole = panels_of(table[table["method"] != "past"], METRICS, METHODS, SETUPS)
    for key, panel in panels.items():
        np.testing.assert_array_equal(panel("srg_matched"), whole[key]("srg_matched"))
    np.testing.assert_array_equal(*(panels["supcon", "knn"]("srg_matched", [name]) for name in ("past", "cam")))


def test_same_tables_give_the_same_numbers(images):
    given = settings(measures={"replication": ["replication", {"splits": 4}], "reliability": ["reliability", {}]})
    one, two = (trust_table(assess_study(images, given), {name: name for name in given["measures"]}) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
