"""The README's results are those of the committed tables, and its sentences say what invented tables hold, and no more."""

from itertools import product

import pandas as pd
import pytest
from clxai.planning import findings
from clxai.planning.findings import BEGIN, END, METRICS, ROOT, committed, document

CPUS = ("AVX2", "AVX512")


def test_the_results_of_the_readme_are_those_of_the_committed_tables():
    section = (ROOT / "README.md").read_text().split(BEGIN)[1].split(END)[0]
    assert section == document(**committed())


def test_the_committed_tables_are_of_two_kinds_of_cpu():
    assert {name: table["cpu"].nunique() for name, table in committed().items()} == {"summary": 2, "contrasts": 2, "heads": 2}


def contrasts(intervals, equivalent=False, p_holm=1.0):
    """Rows of one pair: an interval per metric and CPU, for one method and averaged."""
    rows = [
        {"model": "a", "minus": "b", "metric": metric, "cpu": cpu, "method": method, "ci_low": low, "ci_high": high}
        for ((metric, cpu), (low, high)), method in product(zip(product(METRICS, CPUS), intervals, strict=True), ("lrp", "all"))
    ]
    table = pd.DataFrame(rows).assign(head="all", equivalent=equivalent, p_holm=p_holm, margin=0.05)
    return table.assign(difference=(table["ci_low"] + table["ci_high"]) / 2)


ABOVE, BELOW, AROUND = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.1)


@pytest.mark.parametrize(
    ("intervals", "equivalent", "expected"),
    [
        ([ABOVE] * 4, False, "SRG is higher, in both metrics and on every CPU"),
        ([BELOW] * 4, False, "SRG is lower, in both metrics and on every CPU"),
        ([AROUND] * 4, False, "no difference is shown, and no equivalence either"),
        ([AROUND] * 4, True, "SRG is equivalent within 0.05, in both metrics and on every CPU"),
        ([ABOVE, AROUND, AROUND, AROUND], False, "nothing is concluded"),
        ([ABOVE, BELOW, ABOVE, ABOVE], False, "nothing is concluded"),
    ],
    ids=["higher", "lower", "open", "equivalent", "one CPU alone", "opposite signs"],
)
def test_a_difference_is_one_only_if_all_intervals_agree(intervals, equivalent, expected):
    (sentence,) = findings.contrast_sentences(contrasts(intervals, equivalent))
    assert sentence.startswith("`a` minus `b`: ")
    assert expected in sentence


@pytest.mark.parametrize(
    ("intervals", "p_holm", "expected"),
    [([ABOVE] * 4, 0.01, "`lrp` (a above b)"), ([ABOVE] * 4, 0.2, "No difference"), ([ABOVE, BELOW] * 2, 0.01, "No difference")],
)
def test_a_single_method_must_survive_correction_everywhere(intervals, p_holm, expected):
    assert expected in findings.single_sentence(contrasts(intervals, p_holm=p_holm))


def summary(means):
    """Mean by (method, metric, CPU), intervals of width .2, excess equal to the mean."""
    rows = [
        {"model": "a", "method": method, "scored_by": "linear", "metric": metric, "cpu": cpu, "mean": mean}
        for (method, metric, cpu), mean in means.items()
    ]
    table = pd.DataFrame(rows)
    low, high = table["mean"] - 0.1, table["mean"] + 0.1
    return table.assign(ci_low=low, ci_high=high, excess=table["mean"], excess_ci_low=low, excess_ci_high=high)


@pytest.fixture
def means():
    """IG above LRP above random, which is 0, in both metrics on both CPUs."""
    return {(m, *cell): value for m, value in {"random": 0.0, "ig": 0.5, "lrp": 0.3}.items() for cell in product(METRICS, CPUS)}


def test_order_and_excess_are_stated_where_they_hold_everywhere(means):
    assert findings.order_sentence(summary(means)).endswith("the order begins `ig` > `lrp`.")
    (sentence,) = findings.excess_sentences(summary(means))
    assert sentence.startswith("On `a`, methods whose excess over random has an interval above 0 for every head")
    assert sentence.endswith("on every CPU: `ig`, `lrp`.")
    assert "in 4 of 4 cells" in findings.reference_sentence(summary(means))


def test_one_cpu_that_differs_takes_the_sentence_away(means):
    means |= {("ig", "srg_kept", "AVX2"): 0.05}
    assert findings.order_sentence(summary(means)) == "No method leads in both metrics and on every CPU."
    assert next(iter(findings.excess_sentences(summary(means)))).endswith("on every CPU: `lrp`.")


def test_the_largest_move_within_the_intervals_of_the_temperatures_is_stated(means):
    low, high = {"random": 0.0, "ig": -0.02, "lrp": 0.01}, {"random": 0.0, "ig": 0.07, "lrp": -0.03}
    moves = {"srg_matched_low": low, "srg_matched_high": high}
    for (end, by_method), cpu in product(moves.items(), CPUS):
        means |= {(method, end, cpu): means[method, "srg_matched", cpu] + move for method, move in by_method.items()}
    assert findings.temperature_sentence(summary(means)).endswith("moves by more than 0.070.")


def test_the_numbers_of_a_cpu_are_replaced_and_others_kept(tmp_path):
    def found(cpu, value):
        return {name: pd.DataFrame({"number": [value], "cpu": [cpu]}) for name in findings._KEPT}

    for cpu, value in (("AVX2", 1), ("AVX512", 2), ("AVX2", 3)):
        findings.take_over(found(cpu, value), tmp_path)
    assert pd.read_csv(tmp_path / "heads.csv").to_numpy().tolist() == [[3, "AVX2"], [2, "AVX512"]]
