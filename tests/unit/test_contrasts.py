import numpy as np
import pandas as pd
import pytest
from clxai.errors import ClxaiError
from clxai.figures.base import FIGURES, Study
from clxai.measures.contrasts import Settings, contrast_tables
from clxai.measures.metrics.base import METRICS, entering
from clxai.measures.statistics import two_way
from project import row_of
from scipy import stats
from statsmodels.stats.multitest import multipletests

MODELS = {"ce": ["softmax", "knn", "linear"], "supcon": ["knn", "linear"], "twin": ["knn", "linear"]}
METHODS = ("random", "lrp", "saliency")
N_SEEDS, N_IMAGES = 3, 8
COMPARED = entering("contrasts", list(METRICS))


def test_models_are_compared_by_gains_that_do_not_depend_on_raw_confidence():
    """Those of masks compare a map with the log-odds that it explains, on whatever scale these are."""
    of_masks = {"faithfulness_correlation", "infidelity_scaled", "sensitivity_n"}
    assert set(COMPARED) == {"srg_kept", "srg_matched", "srg_matched_low", "srg_matched_high", *of_masks}


@pytest.fixture(scope="module")
def images():
    """Every model has its own level for each method and head; images are harder or easier for all models alike."""
    rng = np.random.default_rng(0)
    hard, rows = rng.normal(size=N_IMAGES), []
    for number, (model, heads) in enumerate(MODELS.items()):
        for place, method in enumerate(METHODS):
            for explained in heads:
                for scored in heads:
                    level = 0.1 * number * place + 0.02 * heads.index(scored) + (explained != scored)
                    for seed in range(N_SEEDS):
                        for image in range(N_IMAGES):
                            cell = {
                                "model": model,
                                "seed": seed,
                                "units": "grid",
                                "method": method,
                                "explained_by": explained,
                                "scored_by": scored,
                            }
                            values = {m: level + hard[image] + 0.1 * rng.normal() for m in COMPARED}
                            rows.append({**cell, "fill": "mean", "image": 10 * image, **values})
    return pd.DataFrame(rows)


def contrast_table(images, metrics, pairs, margin=0.05, **settings):
    """The table of contrasts alone."""
    return contrast_tables(images, metrics, Settings(pairs, margin, **settings))[0]


PAIRS = [["supcon", "ce"], ["twin", "ce"], ["twin", "supcon"]]


@pytest.fixture(scope="module")
def table(images):
    return contrast_table(images.sample(frac=1, random_state=0), COMPARED, PAIRS)


def test_method_that_one_model_lacks_is_in_none_of_its_contrasts(images, table):
    ragged = images[(images["model"] != "twin") | (images["method"] != "saliency")]
    found = contrast_table(ragged, COMPARED, PAIRS)
    assert "saliency" not in set(found.loc[found["model"] == "twin", "method"])
    keys = ["model", "minus", "quantity", "metric", "method", "head"]
    numbers = ["difference", "ci_low", "ci_high", "p"]
    for pair, methods in ((["supcon", "ce"], ["lrp", "saliency", "all"]), (["twin", "ce"], ["lrp"])):
        same, whole = (
            rows[(rows["model"] == pair[0]) & (rows["minus"] == pair[1]) & rows["method"].isin(methods)].set_index(keys)[numbers]
            for rows in (found, table)
        )
        pd.testing.assert_frame_equal(same, whole)
    twin = found[(found["model"] == "twin") & (found["minus"] == "ce")].set_index(["method", *keys[:4], "head"])[numbers]
    pd.testing.assert_frame_equal(twin.loc["all"], twin.loc["lrp"])


def cube(images, model, method, head, metric):
    """One model's own values as [seed, image]."""
    chosen = images[(images["model"] == model) & (images["method"] == method)]
    chosen = chosen[(chosen["explained_by"] == head) & (chosen["scored_by"] == head)]
    return chosen.pivot(index="seed", columns="image", values=metric).to_numpy()


def expected(images, pair, methods, heads, metric, quantity):
    """The mean of the paired differences over some methods and heads, [seed, image]."""
    parts = []
    for method in methods:
        for head in heads:
            one, other = (cube(images, model, method, head, metric) for model in pair)
            if quantity == "excess":
                one, other = (own - cube(images, m, "random", head, metric) for own, m in zip((one, other), pair, strict=True))
            parts.append(one - other)
    return np.mean(parts, axis=0)


@pytest.mark.parametrize("quantity", ["value", "excess"])
@pytest.mark.parametrize("metric", COMPARED)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("method", ["lrp", "saliency", "all"])
@pytest.mark.parametrize("head", ["knn", "linear", "all"])
def test_contrast_is_the_mean_of_paired_differences(images, table, pair, method, head, metric, quantity):
    methods = ["lrp", "saliency"] if method == "all" else [method]
    heads = ["knn", "linear"] if head == "all" else [head]
    values = expected(images, pair, methods, heads, metric, quantity)
    row = row_of(table, model=pair[0], minus=pair[1], method=method, head=head, metric=metric, quantity=quantity, fill="mean")
    found = two_way(values[..., None])
    low, high = found.interval()
    numbers = [values.mean(), low[0], high[0], found.df[0], found.p_value()[0], found.p_equivalence(0.05)[0]]
    np.testing.assert_allclose(
        row[["difference", "ci_low", "ci_high", "df", "p", "p_equivalence"]].astype(float), numbers, rtol=1e-6
    )
    assert row["equivalent"] == (numbers[-1] < 0.05)
    assert (row["n_seeds"], row["n_images"], row["n_undefined"], row["ci_over"]) == (3, 8, 0, "seeds and images")


def test_only_heads_and_methods_of_both_are_compared(table):
    assert set(table["head"]) == {"knn", "linear", "all"}
    assert set(table["method"]) == {"lrp", "saliency", "all"}
    keys = ["model", "minus", "quantity", "metric", "units", "fill", "method", "head"]
    assert len(table) == 3 * 2 * len(COMPARED) * 9
    assert not table.duplicated(keys).any()


def test_swapped_pair_turns_the_sign(images, table):
    turned = contrast_table(images, COMPARED, [["ce", "supcon"]])
    own = table[(table["model"] == "supcon") & (table["minus"] == "ce")]
    np.testing.assert_allclose(turned["difference"], -own["difference"])
    np.testing.assert_allclose(turned["ci_low"], -own["ci_high"])


def test_holm_is_over_pairs_methods_and_heads_of_one_kind_of_row(table):
    chosen = table[(table["quantity"] == "value") & (table["metric"] == "srg_kept")]
    kinds = {
        "cells": (chosen["method"] != "all") & (chosen["head"] != "all"),
        "methods": (chosen["method"] != "all") & (chosen["head"] == "all"),
        "heads": (chosen["method"] == "all") & (chosen["head"] != "all"),
        "overall": (chosen["method"] == "all") & (chosen["head"] == "all"),
    }
    for kind, size in zip(kinds.values(), (12, 6, 6, 3), strict=True):
        assert kind.sum() == size
        np.testing.assert_allclose(chosen[kind]["p_holm"], multipletests(chosen[kind]["p"], method="holm")[1])


def test_one_seed_is_the_paired_t_test_over_images(images):
    one = images[images["seed"] == 1]
    row = row_of(contrast_table(one, COMPARED, [["supcon", "ce"]]), method="lrp", head="knn", metric="srg_kept", quantity="value")
    first, second = (cube(one, model, "lrp", "knn", "srg_kept")[0] for model in ("supcon", "ce"))
    assert row["p"] == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert row["ci_over"] == "images"


@pytest.mark.parametrize("pairs", [[], [["ce", "supcon"]]])
def test_nothing_to_compare_is_an_empty_table_with_its_columns_that_can_be_drawn(images, table, pairs):
    apart = images[(images["model"] != "supcon") & (images["scored_by"] == "softmax") | (images["model"] == "supcon")]
    found = contrast_table(apart, COMPARED, pairs)
    assert len(found) == 0
    assert found.columns.tolist() == table.columns.tolist()
    assert drawn(found).axes


def drawn(contrasts):
    study = Study(
        "any", list(MODELS), ["softmax", "knn", "linear"], METHODS, "mean", "grid", 0.05, tables={"contrasts": contrasts}
    )
    return FIGURES["contrasts"].definition(study)


def test_figure_has_a_panel_for_each_pair(table):
    figure = drawn(table)
    assert [axis.get_title() for axis in figure.axes] == ["SupCon - CE", "twin - CE", "twin - SupCon"]
    assert len(figure.axes[0].containers) == 3 * 3


def declared(**given):
    """A declared contrast, as planning fills it in."""
    named = {"model": "supcon", "minus": "ce", "quantity": "value", "metric": "srg_matched", "units": "grid", "fill": "mean"}
    return {**named, "method": "all", "head": "all", **given}


@pytest.fixture(scope="module")
def families(images):
    rows = [declared(), declared(model="twin"), declared(head="knn")]
    return contrast_table(images, COMPARED, PAIRS, confirmatory=rows)


def test_confirmatory_rows_are_the_declared_ones_corrected_among_themselves(families, table):
    chosen = families[families["family"] == "confirmatory"]
    assert sorted(zip(chosen["model"], chosen["head"], strict=True)) == [("supcon", "all"), ("supcon", "knn"), ("twin", "all")]
    assert set(chosen["method"]) == {"all"}
    for raw, corrected in (("p", "p_holm"), ("p_equivalence", "p_equivalence_holm"), ("p_noninferior", "p_noninferior_holm")):
        np.testing.assert_allclose(chosen[corrected], multipletests(chosen[raw], method="holm")[1])
    assert chosen["p_fdr"].isna().all()


def test_exploratory_rows_are_corrected_without_the_declared_ones(families):
    rest = families[families["family"] == "exploratory"]
    np.testing.assert_allclose(rest["p_fdr"], multipletests(rest["p"], method="fdr_bh")[1])
    assert rest[["p_equivalence_holm", "p_noninferior_holm"]].isna().all(axis=None)
    own = (rest["quantity"] == "value") & (rest["metric"] == "srg_matched") & (rest["method"] == "all") & (rest["head"] == "all")
    assert own.sum() == 1
    np.testing.assert_allclose(rest[own]["p_holm"], rest[own]["p"])


def test_declaring_changes_the_correction_and_nothing_else(families, table):
    corrections = ["family", "p_holm", "p_fdr", "p_equivalence_holm", "p_noninferior_holm"]
    pd.testing.assert_frame_equal(families.drop(columns=corrections), table.drop(columns=corrections))
    assert set(table["family"]) == {"exploratory"}


def test_declared_contrast_that_is_not_there_is_an_error(images):
    with pytest.raises(ClxaiError, match=r"statistics\.confirmatory: the study has no contrast of model supcon.*head softmax"):
        contrast_table(images, COMPARED, PAIRS, confirmatory=[declared(head="softmax")])


@pytest.mark.parametrize("margin", [0.05, 0.4])
def test_noninferior_is_the_one_sided_test_against_the_margin(images, margin):
    table = contrast_table(images, COMPARED, [["ce", "supcon"]], margin)
    better = table["metric"].map(lambda name: METRICS[name].semantics["better"])
    error = (table["ci_high"] - table["difference"]) / stats.t(table["df"]).ppf(0.975)
    shifted = (better * table["difference"] + margin) / error
    np.testing.assert_allclose(table["p_noninferior"], stats.t(table["df"]).sf(shifted))
    np.testing.assert_array_equal(table["noninferior"], table["p_noninferior"] < 0.05)


def test_equivalent_is_not_inferior_in_both_directions(images):
    one, other = (contrast_table(images, COMPARED, [pair], 0.3) for pair in (["ce", "supcon"], ["supcon", "ce"]))
    np.testing.assert_array_equal(one["equivalent"], one["noninferior"] & other["noninferior"])
    np.testing.assert_allclose(one["improvement"], 1 - other["improvement"])


def test_mean_over_methods_leaves_controls_out(images):
    table = contrast_table(images, COMPARED, [["supcon", "ce"]], controls=["random", "saliency"])
    shown = table[(table["method"] != "saliency") & (table["head"] == "knn")].drop(columns=["p_holm", "p_fdr"])
    every, lrp = (shown[shown["method"] == name].drop(columns="method").reset_index(drop=True) for name in ("all", "lrp"))
    pd.testing.assert_frame_equal(every, lrp)
    controls = contrast_table(images, COMPARED, [["supcon", "ce"]], controls=METHODS)
    assert set(controls["method"]) == {"lrp", "saliency"}


def test_power_is_planned_for_declared_rows_and_means_over_all(images):
    row = declared(model="twin", minus="ce", method="lrp", head="knn")
    settings = Settings(PAIRS, 0.05, [row], level=0.9, seeds=[3, 20], images=[8, 500])
    contrasts, power = contrast_tables(images, COMPARED, settings)
    assert len(power) == 4 * (1 + 3 * 2 * len(COMPARED))
    assert power[power["family"] == "confirmatory"]["method"].eq("lrp").all()
    size = {**declared(), "n_images": 8}
    few, many = (row_of(power, **size, n_seeds=n) for n in (3, 20))
    assert few["detectable"] == pytest.approx(row_of(contrasts, **declared())["detectable"])
    assert few["detectable"] > many["detectable"]
    assert few["power"] < many["power"]


def test_few_seeds_are_said(table):
    assert table["few_seeds"].all()
