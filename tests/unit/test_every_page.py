"""docs/results/every.md says what its table says."""

import re

import pandas as pd
import pytest
from clxai.planning.findings import RESULTS

PAGE, SHOWN = (RESULTS / "every.md").read_text(), ("sensitivity_n", "faithfulness_correlation", "infidelity_scaled", "flip_size")


@pytest.fixture(scope="module")
def ranking():
    return pd.read_csv(RESULTS / "every" / "ranking.csv")


def rows_of(header):
    """The cells of the rows below the table whose header starts so."""
    table = PAGE.split(f"| {header} |")[1].split("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def number(value):
    return f"{value:.2f}".replace("-0.00", "0.00")


def interval(row, name):
    return f"{number(row[name])} [{number(row[name + '_low'])}, {number(row[name + '_high'])}]"


def side(row):
    """Whether a method lies above or below `contrast` by an interval that excludes 0."""
    return "yes" if row["over_contrast_low"] > 0 else "below" if row["over_contrast_high"] < 0 else "-"


def test_rows_by_fill_mean_are_those_of_the_table(ranking):
    by = ranking[ranking["fill"] == "mean"].set_index(["metric", "method"])
    srg = by.loc["srg_matched"].sort_values("mean", ascending=False, kind="stable")
    written = rows_of("method")
    assert [cells[0] for cells in written] == srg.index.tolist()
    for name, score, over, beats, *others in written:
        row = srg.loc[name]
        assert [score, over, beats or "-"] == [interval(row, "mean"), interval(row, "over_contrast"), side(row)]
        assert others == [number(by.loc[(metric, name), "mean"]) for metric in SHOWN]


def test_rows_of_the_fills_count_who_beats_contrast(ranking):
    for fill, contrast, above, below, first in rows_of("fill"):
        srg = ranking[(ranking["fill"] == fill) & (ranking["metric"] == "srg_matched")].set_index("method")
        sides = srg.drop(index="contrast").apply(side, axis=1)
        assert [contrast, int(above), int(below)] == [
            number(srg.loc["contrast", "mean"]),
            sum(sides == "yes"),
            sum(sides == "below"),
        ]
        best = srg.sort_values("mean", ascending=False).index
        assert (
            re.findall(r"\w+", first.replace("`", ""))
            == [name for name in best if sides.get(name) == "yes"][: first.count(",") + 1]
        )


def beating(ranking, fill):
    srg = ranking[(ranking["fill"] == fill) & (ranking["metric"] == "srg_matched")].set_index("method")
    return {name for name, row in srg.iterrows() if name != "contrast" and row["over_contrast_low"] > 0}


def test_sentences_on_who_beats_contrast_are_true(ranking):
    by_mean = beating(ranking, "mean")
    bank = {"lime", "lime_linear", "banzhaf", "kernel_shap", "kernel_shap_blur", "rise", "rise_noise", "leave_one_out"}
    gradients = {"integrated_gradients", "ig_degraded_50", "ig_other_model"}
    assert by_mean == bank | gradients | {"class_mean", "occlusion", "best_order", "lrp", "input_x_gradient", "smoothgrad_sq"}
    assert "By the fill mean, 17 others beat `contrast`" in PAGE
    assert len(by_mean) == 17
    assert beating(ranking, "zero") == {"banzhaf_zero", "ink"}


def test_methods_made_of_masks_of_one_fill_do_best_under_it(ranking):
    srg = ranking[ranking["metric"] == "srg_matched"]
    best = srg.loc[srg.groupby("fill")["mean"].idxmax()].set_index("fill")["method"]
    made_of = {"blur": "kernel_shap_blur", "zero": "banzhaf_zero", "noise": "rise_noise", "linear": "lime_linear", "mean": "lime"}
    assert best.drop("nun").to_dict() == made_of


def test_random_map_is_told_apart_by_all_metrics_of_masks_but_the_scaled_infidelity(ranking):
    own = ranking[(ranking["fill"] == "mean") & (ranking["method"] == "random")].set_index("metric")["mean"]
    told = [number(own[name]) for name in ("sensitivity_n", "faithfulness_correlation", "infidelity_scaled")]
    assert told == ["-0.01", "-0.02", "0.28"]
    sentence = "The random map has -0.01 by sensitivity-n and -0.02 by faithfulness correlation, but .28 by scaled infidelity"
    assert sentence in " ".join(PAGE.split())


def test_metrics_of_masks_agree_with_srg_on_the_order_as_far_as_the_page_says(ranking):
    means = ranking[ranking["fill"] == "mean"].pivot(index="method", columns="metric", values="mean")
    alike = means.corr("spearman")["srg_matched"]
    said = {"sensitivity_n": "0.99", "faithfulness_correlation": "0.99", "infidelity_scaled": "-0.65"}
    assert {name: number(alike[name]) for name in said} == said  # of infidelity less is better
