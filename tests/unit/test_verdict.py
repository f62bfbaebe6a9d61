"""The page says what invented tables hold, and no more: every rule, and every way in which a claim may not be made."""

import re
from dataclasses import replace
from itertools import product
from math import inf, nan
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from clxai.planning import params
from clxai.registry import LIBRARY
from clxai.verdict.answering import answer_of
from clxai.verdict.comparing import pair_statements, question_statements
from clxai.verdict.condensing import condensed
from clxai.verdict.differences import ROUTES, difference_statements, needed_statements, single_statements
from clxai.verdict.instrument import (
    accuracy_statements,
    check_statements,
    oracle_statements,
    reference_statements,
    size_statements,
    temperature_statements,
    variance_statements,
)
from clxai.verdict.page import MOST_SENTENCES, answers, page_of
from clxai.verdict.phrasing import LONGEST_SOURCE, source
from clxai.verdict.ranking import control_statements, order_statements, random_statements
from clxai.verdict.records import Evidence, Kind, Study
from clxai.verdict.rendering import html, markdown
from clxai.verdict.rules import common, statements_of, verdict_of
from clxai.verdict.trusting import left_out_statements, route_statements, trust_statements
from clxai.verdict.wording import SENTENCES, sentence
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from project import filled_config

METHODS = ["random", "ink", "ig", "lrp", "oracle"]
STUDY = Study(
    models=["ce", "supcon"],
    methods=METHODS,
    controls=["random", "ink"],
    blind=["random", "ink"],
    oracles=["oracle"],
    references=["ce_finetuned"],
    contrastive=["supcon"],
    baselines={"ig": ["mean"]},
    name="invented",
    dataset="none",
)
ABOVE, BELOW, AROUND, TIGHT = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.12), (-0.01, 0.012)


def told(**tables):
    return replace(STUDY, tables=tables)


def one(statements, **about):
    """The one statement with these claims or facts."""
    found = [each for each in statements if all(getattr(each, key, each.about.get(key)) == value for key, value in about.items())]
    assert len(found) == 1, [each.claim for each in found]
    return found[0]


def contrasts(routes, **columns):
    """One pair, its mean over methods and heads, an interval for each route."""
    rows = [
        {"metric": metric, "difference": (low + high) / 2, "ci_low": low, "ci_high": high}
        for metric, (low, high) in zip(ROUTES, routes, strict=False)
    ]
    where = {
        "model": "supcon",
        "minus": "ce",
        "quantity": "value",
        "units": "grid",
        "fill": "mean",
        "method": "all",
        "head": "all",
    }
    counts = {"p_holm": 0.01, "equivalent": False, "margin": 0.05, "n_seeds": 5, "n_images": 100, "family": "confirmatory"}
    table = pd.DataFrame(rows).assign(**where).assign(**{**counts, **columns})
    return table.assign(family=table["family"].where(table["metric"] == "srg_matched", "exploratory"))


@pytest.mark.parametrize(
    ("routes", "columns", "claim", "kind"),
    [
        ([ABOVE] * 4, {}, "higher", Kind.FOUND),
        ([BELOW] * 4, {}, "lower", Kind.FOUND),
        ([ABOVE] * 4, {"p_holm": 0.06}, "undecided", Kind.CANNOT_SAY),
        ([AROUND] * 4, {"p_holm": 0.9}, "undecided", Kind.CANNOT_SAY),
        ([TIGHT] * 4, {"p_holm": 0.9, "equivalent": True}, "equivalent", Kind.NOT_FOUND),
        ([TIGHT] * 4, {"p_holm": 0.9, "equivalent": [True, True, True, False]}, "undecided", Kind.CANNOT_SAY),
        ([ABOVE, ABOVE, ABOVE, AROUND], {}, "contradiction", Kind.CANNOT_SAY),
        ([ABOVE, AROUND, ABOVE, ABOVE], {}, "contradiction", Kind.CANNOT_SAY),
        ([ABOVE, ABOVE, ABOVE, BELOW], {}, "contradiction", Kind.CANNOT_SAY),
        ([AROUND, AROUND, AROUND, ABOVE], {"p_holm": 0.9}, "contradiction", Kind.CANNOT_SAY),
        ([ABOVE] * 3, {}, "route_missing", Kind.CANNOT_SAY),
        ([ABOVE, ABOVE, ABOVE, (nan, nan)], {}, "undefined", Kind.CANNOT_SAY),
        ([ABOVE] * 4, {"p_holm": nan}, "undefined", Kind.CANNOT_SAY),
        ([ABOVE] * 4, {"n_seeds": 4}, "higher", Kind.CANNOT_SAY),
        ([TIGHT] * 4, {"p_holm": 0.9, "equivalent": True, "n_seeds": 3}, "equivalent", Kind.CANNOT_SAY),
    ],
)
def test_a_difference_is_claimed_only_where_test_and_all_routes_agree(routes, columns, claim, kind):
    (statement,) = difference_statements(told(contrasts=contrasts(routes, **columns)))
    assert (statement.claim, statement.kind) == (claim, kind)


def test_the_sentence_of_a_difference_carries_numbers_counts_family_and_rows():
    (statement,) = difference_statements(told(contrasts=contrasts([ABOVE] * 4)))
    assert sentence(statement) == (
        "SRG (mean over methods and heads, units grid, fill mean) is higher for `supcon` than for `ce` on every route: "
        "matched 0.20 [0.10, 0.30], matched at the lowest temperature 0.20 [0.10, 0.30], matched at the highest temperature 0.20 "
        "[0.10, 0.30], kept 0.20 [0.10, 0.30] (confirmatory, Holm p = 0.01; 5 seeds, 100 images)."
    )
    assert source(statement) == (
        "contrasts.csv: model supcon, minus ce, quantity value, units grid, fill mean, method and head all, 4 metrics"
    )


@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.lists(st.floats(0.001, 0.5), min_size=4, max_size=4), st.floats(0, 1)
)
@settings(max_examples=25, deadline=None)
def test_flipping_the_sign_of_a_contrast_flips_the_sentence(means, reaches, p_holm):
    routes = [(mean - reach, mean + reach) for mean, reach in zip(means, reaches, strict=True)]
    flipped = [(-high, -low) for low, high in routes]
    (first,), (second,) = (difference_statements(told(contrasts=contrasts(each, p_holm=p_holm))) for each in (routes, flipped))
    swapped = {"higher": "lower", "lower": "higher"}
    assert second.claim == swapped.get(first.claim, first.claim)
    assert (f" is {second.claim} for " in sentence(second)) == (second.claim in swapped)
    assert [number.value for number in second.evidence] == [-number.value for number in first.evidence]


def test_few_seeds_one_seed_and_small_effects_are_said():
    def text(**columns):
        (statement,) = difference_statements(told(contrasts=contrasts([ABOVE] * 4, **columns)))
        return sentence(statement)

    assert text(n_seeds=3).startswith("Not a claim about recipes, for which 3 trainings are too few: SRG")
    assert text(n_seeds=1).startswith("Of this one training alone, not of its recipe: SRG")
    assert text(equivalent=True, margin=0.5).endswith("; the difference is smaller than the margin of 0.5.")


@pytest.mark.parametrize(
    ("n_seeds", "needed", "expected"),
    [
        (5, 12.0, "12 seeds for `supcon` - `ce` (5 show 0.15)"),
        (5, nan, "no number of seeds for `supcon` - `ce` (5 show 0.15)"),
        (1, nan, "an unknown number of seeds for `supcon` - `ce` (1 show 0.15)"),
    ],
)
def test_an_open_difference_says_what_it_would_take(n_seeds, needed, expected):
    study = told(contrasts=contrasts([AROUND] * 4, p_holm=0.9, detectable=0.15, seeds_needed=needed, n_seeds=n_seeds))
    (statement,) = difference_statements(study)
    assert "is shown neither to differ nor to be equivalent within 0.05 for: `supcon` - `ce` (matched" in sentence(statement)
    (taken,) = needed_statements(study)
    assert sentence(taken) == f"What a difference of 0.05 would take with these images, with a power of 80 %: {expected}."
    assert taken.kind == Kind.CANNOT_SAY
    silent = told(contrasts=contrasts([AROUND] * 4, p_holm=0.9, detectable=nan, seeds_needed=nan))
    assert list(needed_statements(silent)) == []
    assert list(needed_statements(told(contrasts=contrasts([ABOVE] * 4, detectable=0.15, seeds_needed=needed)))) == []


@pytest.mark.parametrize(
    ("noninferior", "corrected", "minus", "claim"),
    [
        (True, 0.01, "ce_finetuned", "noninferior"),
        ([True, True, True, False], 0.01, "ce_finetuned", "noninferiority_open"),
        (True, 0.2, "ce_finetuned", "noninferiority_open"),
        (True, 0.01, "ce", "noninferior"),
        (True, 0.2, "ce", None),
    ],
)
def test_not_worse_than_a_reference_needs_the_corrected_test_and_every_route(noninferior, corrected, minus, claim):
    table = contrasts([AROUND] * 4, p_holm=0.9, noninferior=noninferior, p_noninferior_holm=corrected).assign(minus=minus)
    claims = [each.claim for each in difference_statements(told(contrasts=table))]
    assert claims == ["undecided", *([claim] if claim else [])]


def test_set_ups_of_a_pair_are_counted_and_confirmatory_rows_come_first():
    first, second = contrasts([ABOVE] * 4), contrasts([AROUND] * 4, p_holm=0.9, family="exploratory").assign(fill="zero")
    found = list(difference_statements(told(contrasts=pd.concat([second, first]))))
    assert [(each.claim, each.about.get("confirmatory")) for each in found] == [("higher", True), ("over_setups", None)]
    assert sentence(found[1]) == (
        "Over 2 set-ups (units, fill), mean SRG is: `supcon` - `ce` higher in 1, undecided in 1 (from matched 0.01 [-0.10, 0.12] "
        "to matched 0.20 [0.10, 0.30])."
    )
    assert found[1].kind == Kind.CANNOT_SAY


def test_a_table_without_the_family_is_exploratory():
    (statement,) = difference_statements(told(contrasts=contrasts([ABOVE] * 4).drop(columns="family")))
    assert "(exploratory, Holm" in sentence(statement)


MEANS = {"random": 0.0, "ink": 0.1, "ig": 0.6, "lrp": 0.3, "oracle": 0.8}


def summary(means=MEANS, models=("ce", "supcon"), heads=("linear",), fills=("mean",), reach=0.05, change=None):
    """Rows of every method with an interval of mean +- reach; `change` maps (model, head, fill, method) to another mean."""
    rows = []
    for model, head, fill, method, metric in product(models, heads, fills, means, ("srg_matched", "srg_kept")):
        mean = {**{(model, head, fill, method): means[method]}, **(change or {})}[model, head, fill, method]
        excess = mean - means.get("random", 0)
        rows.append(
            {"model": model, "units": "grid", "method": method, "explained_by": head, "scored_by": head, "fill": fill}
            | {"metric": metric, "mean": mean, "ci_low": mean - reach, "ci_high": mean + reach, "excess": excess}
            | {"excess_ci_low": excess - reach, "excess_ci_high": excess + reach, "n_seeds": 5, "n_images": 100}
        )
    return pd.DataFrame(rows)


def words(statement):
    """What is said of each part and model."""
    return {(one.part, one.model): one.word for one in statement.about["standings"].values()}


def test_methods_exceed_random_in_every_cell_or_are_said_not_to():
    change = {("ce", "knn", "mean", "lrp"): 0.04}
    ig, lrp = random_statements(told(summary=summary(heads=("linear", "knn"), change=change)))
    assert (words(ig), ig.kind) == ({("", "ce"): "shown", ("", "supcon"): "shown"}, Kind.FOUND)
    assert (words(lrp), lrp.kind) == ({("", "ce"): "partly", ("", "supcon"): "shown"}, Kind.NOT_FOUND)
    assert sentence(lrp) == (
        "`lrp` is shown to exceed random (head, metric, units, fill) in some cells alone of `ce` (2 of 4) (least 0.04 [-0.01, "
        "0.09]), but in every cell of `supcon` (least 0.30 [0.25, 0.35]) (5 seeds, 100 images)."
    )
    below, open_ = random_statements(told(summary=summary({"random": 0, "ig": -0.4, "lrp": 0.01})))
    assert (set(words(below).values()), set(words(open_).values())) == ({"against"}, {"not_shown"})
    assert {below.kind, open_.kind} == {Kind.NOT_FOUND}
    assert "on the wrong side in every cell of every model (least -0.40 [-0.45, -0.35] on `ce`)" in sentence(below)
    assert "in no cell of any model (least 0.01 [-0.04, 0.06] on `ce`)" in sentence(open_)


def test_an_undefined_interval_of_a_method_is_said():
    table = summary()
    table.loc[(table["method"] == "lrp") & (table["metric"] == "srg_kept"), "excess_ci_low"] = nan
    ig, lrp = random_statements(told(summary=table))
    assert (set(words(lrp).values()), lrp.kind) == ({"undefined"}, Kind.CANNOT_SAY)
    assert "undefined in some cell of `ce` (1 of 2), `supcon` (1 of 2)" in sentence(lrp)
    assert "undefined" not in sentence(ig)


def test_a_control_that_beats_methods_is_named_with_both_numbers():
    found = list(control_statements(told(summary=summary({**MEANS, "ink": 0.3}))))
    beaten = one(found, claim="control_beats")
    assert (beaten.names, beaten.kind) == (("lrp",), Kind.NOT_FOUND)
    assert "`lrp` (2 of 2 cells; at worst 0.30 [0.25, 0.35] against `ink` 0.30 [0.25, 0.35])" in sentence(beaten)
    assert "closest to the methods is `ink`, the best in 2 of 2 cells" in sentence(one(found, claim="closest_control"))
    none = list(control_statements(told(summary=summary())))
    assert "No control reaches the mean SRG of `ig`, `lrp`" in sentence(one(none, claim="control_beats_none"))


def test_the_tested_excess_over_the_best_control_decides_where_it_is_there():
    table = summary().assign(excess_best=0.2, excess_best_low=0.1, excess_best_high=0.3)
    table.loc[table["method"] == "lrp", "excess_best_low"] = -0.1
    beyond = one(control_statements(told(summary=table)), claim="beyond_control")
    assert (beyond.names, beyond.kind) == (("ig",), Kind.FOUND)
    assert "`ig` (0.20 [0.10, 0.30])" in sentence(beyond)
    open_ = one(control_statements(told(summary=table.assign(excess_best_low=-0.1))), claim="beyond_control_none")
    assert open_.kind == Kind.NOT_FOUND


def test_no_control_but_random_is_said():
    study = replace(told(summary=summary({"random": 0, "ig": 0.5})), controls=["random"], blind=["random"])
    assert [each.claim for each in control_statements(study)] == ["no_control"]


def test_the_order_is_stated_for_each_fill_and_where_it_holds():
    same = list(order_statements(told(summary=summary(fills=("mean", "zero")))))
    assert sentence(one(same, claim="order", fill="zero")).startswith(
        "With units grid and fill zero, the order by mean SRG over models and heads is `ig` 0.60 > `lrp` 0.30; kept predictions "
        "give the same order"
    )
    assert sentence(one(same, claim="leader_same")) == (
        "`ig` comes first in all 2 set-ups (units, fill), and the whole order is the same."
    )
    change = {(model, "linear", "zero", "ig"): 0.1 for model in ("ce", "supcon")}
    other = list(order_statements(told(summary=summary(fills=("mean", "zero"), change=change))))
    assert one(other, claim="leader_changes").kind == Kind.NOT_FOUND
    assert sentence(one(other, claim="baseline_decides")) == (
        "`ig` wins where its baseline is the fill: place 1 where the fill is its baseline (mean), 2 elsewhere."
    )


def test_a_single_fill_that_is_the_baseline_of_the_first_is_said_to_be_open():
    (order, confounded) = order_statements(told(summary=summary()))
    assert (order.claim, confounded.claim, confounded.kind) == ("order", "baseline_confounded", Kind.CANNOT_SAY)
    mixed = one(order_statements(told(summary=summary(fills=("mean", "zero")))), claim="baseline_mixed")
    assert mixed.kind == Kind.NOT_FOUND


def test_the_instrument_fails_where_a_method_or_random_is_not_below_the_truth():
    wins = one(oracle_statements(told(summary=summary())), claim="oracle_wins")
    assert "in all 8 cells" in sentence(wins)
    change = {("ce", "linear", "mean", "ig"): 0.8, ("supcon", "linear", "mean", "random"): 0.9}
    beaten = one(oracle_statements(told(summary=summary(change=change))), claim="oracle_beaten")
    assert (beaten.names, beaten.kind) == (("random", "ig"), Kind.CANNOT_SAY)
    assert sentence(beaten).startswith("The instrument failed on the known truth: ")
    assert "`ig` (1 of 2 cells; at worst 0.80 [0.75, 0.85] against `oracle` 0.80 [0.75, 0.85])" in sentence(beaten)
    assert source(beaten) == (
        "summary.csv: 4 rows of metric srg_matched, units grid, fill mean, head linear, models supcon/ce, 3 methods"
    )
    undefined = one(
        oracle_statements(told(summary=summary(change={("ce", "linear", "mean", "lrp"): nan}))), claim="oracle_beaten"
    )
    assert "`lrp` (1 of 2 cells; at worst undefined against `oracle`" in sentence(undefined)
    borrowed = replace(told(summary=summary({**MEANS, "borrowed": 0.9})), controls=["random", "ink", "borrowed"])
    assert [each.claim for each in oracle_statements(borrowed)] == ["oracle_wins"]
    unknown = replace(told(summary=summary()), oracles=[])
    assert [each.claim for each in oracle_statements(unknown)] == ["no_oracle"]


def test_self_checks_that_warn_are_named_and_doubted():
    row = {"setting": "alpha", "check": "random is 0", "model": "ce", "value": 0.004, "result": "pass"}
    checks = pd.DataFrame([row, {**row, "result": "warn"}, {**row, "setting": "accuracy"}])
    (warned,) = check_statements(told(checks=checks))
    assert (warned.claim, warned.kind) == ("checks_warn", Kind.CANNOT_SAY)
    assert sentence(warned).startswith(
        "1 of 3 self-checks warn, and what rests on them is in doubt: alpha (1 of 2), first 0.0040"
    )
    (passed,) = check_statements(told(checks=checks.assign(result="pass")))
    assert sentence(passed) == "All 3 self-checks passed."
    assert [each.claim for each in check_statements(told())] == ["no_checks"]


def test_accuracy_random_and_variance_are_stated_from_their_rows():
    heads = pd.DataFrame(
        [
            {"model": "ce", "seed": 0, "head": "linear", "split": "test", "accuracy": 0.98, "n_images": 300},
            {"model": "ce", "seed": 1, "head": "linear", "split": "val", "accuracy": 0.1, "n_images": 300},
        ]
    )
    (worst,) = accuracy_statements(told(heads=heads))
    assert sentence(worst).endswith("at least 98.0 % of the test images (least: ce, seed 0, linear).")
    (random,) = reference_statements(told(summary=summary(change={("ce", "linear", "mean", "random"): 0.2})))
    assert "holds 0 in 2 of 4 cells" in sentence(random)
    shares = {"seed_share": 0.1, "image_share": 0.3, "residual_share": 0.6}
    variance = pd.DataFrame([{"metric": "srg_matched", "method": "ig", **shares}, {"metric": "srg", "method": "ig", **shares}])
    (parts,) = variance_statements(told(variance=variance))
    assert "10 % trainings, 30 % images, 60 % neither (mean over 1 " in sentence(parts)
    (undefined,) = variance_statements(told(variance=variance.assign(seed_share=nan)))
    assert undefined.claim == "variance_undefined"


@pytest.mark.parametrize(("n_seeds", "claims"), [(1, ["one_seed"]), (4, ["few_seeds"]), (5, [])])
def test_too_few_trainings_are_said(n_seeds, claims):
    models = pd.DataFrame([{"model": model, "seed": seed} for model in ("ce", "supcon") for seed in range(n_seeds)])
    assert [each.claim for each in size_statements(told(models=models))] == claims


def test_one_model_and_no_reference_are_said():
    study = replace(STUDY, models=["ce"], references=[])
    assert [each.claim for each in size_statements(study)] == ["one_model", "no_reference"]


def trust(values, null=0.0, better=1, measure="agreement", **columns):
    """One row per model and head: value +- .1."""
    rows = [
        {"measure": measure, "part": "SRG", "model": model, "head": head, "units": "all", "fill": "all", "value": value}
        | {"ci_low": value - 0.1, "ci_high": value + 0.1}
        for (model, head), value in values.items()
    ]
    return pd.DataFrame(rows).assign(null=null, better=better, n_seeds=5, n_images=100, n_methods=6).assign(**columns)


@pytest.mark.parametrize(
    ("values", "better", "word", "kind"),
    [
        ((0.5, 0.4), 1, "shown", Kind.FOUND),
        ((0.5, 0.05), 1, "partly", Kind.NOT_FOUND),
        ((0.05, -0.05), 1, "not_shown", Kind.NOT_FOUND),
        ((-0.5, -0.4), 1, "against", Kind.NOT_FOUND),
        ((-0.5, -0.4), -1, "shown", Kind.FOUND),
        ((0.5, nan), 1, "undefined", Kind.CANNOT_SAY),
    ],
)
def test_a_trust_measure_is_held_against_its_value_of_no_trust(values, better, word, kind):
    table = trust({("ce", "linear"): values[0], ("ce", "knn"): values[1]}, better=better)
    (statement,) = trust_statements(told(trust=table))
    assert (words(statement), statement.kind) == ({("SRG", "ce"): word}, kind)
    assert ("undefined" in sentence(statement)) == (word == "undefined")
    assert f"is shown {'above' if better > 0 else 'below'} 0 (0: no trust) " in sentence(statement)


def test_models_and_parts_of_a_measure_are_told_in_one_sentence():
    first = trust({("ce", "linear"): 0.5, ("supcon", "linear"): 0.05}, measure="follows_loss").assign(part="loss")
    second = trust({("ce", "linear"): 0.6, ("supcon", "linear"): 0.7}, measure="follows_loss").assign(part="encoder")
    (statement,) = trust_statements(told(trust=pd.concat([first, second])))
    assert sentence(statement) == (
        "Movement of the embedding with the loss of evidence is shown above 0 (0: no trust): step by step, in every cell of `ce` "
        "(least 0.50 [0.40, 0.60]), but in no cell of `supcon` (least 0.05 [-0.05, 0.15]); SRG of the path in the embedding, in "
        "every cell of every model (least 0.60 [0.50, 0.70] on `ce`) (5 seeds, 100 images)."
    )
    assert source(statement) == (
        "trust.csv: 4 rows of measure follows_loss, units and fill all, head linear, models ce/supcon, parts loss/encoder"
    )


def claims(*found):
    place = {"model": "supcon", "minus": "ce", "head": "linear", "units": "grid", "fill": "mean", "n_routes": 4}
    return pd.DataFrame([{**place, "claim": claim} for claim in found])


@pytest.mark.parametrize(
    ("found", "n_seeds", "kind", "said"),
    [
        (["higher", "higher"], 5, Kind.FOUND, "all above 0 in 2 of 2 cells."),
        (["higher", "higher"], 3, Kind.CANNOT_SAY, "; too few trainings for a claim about recipes."),
        (["higher", "lower"], 5, Kind.CANNOT_SAY, "all above 0 in 1, all below 0 in 1 of 2 cells."),
        (["none", "undefined"], 5, Kind.CANNOT_SAY, "0 within all in 1, undefined in 1 of 2 cells."),
    ],
)
def test_routes_are_held_against_each_other_for_declared_pairs_and_no_trust_by_themselves(found, n_seeds, kind, said):
    models = pd.DataFrame([{"model": model, "seed": seed} for model in ("ce", "supcon") for seed in range(n_seeds)])
    tables = {"contrasts": contrasts([ABOVE] * 4), "models": models}
    other = claims("lower").assign(minus="ce_matched")
    study = told(trust_claims=pd.concat([claims(*found), other]), trust=trust({("ce", "knn"): 0.5}, measure="routes"), **tables)
    (statement,) = route_statements(study)
    assert statement.kind == kind
    assert sentence(statement).endswith(said) and "ce_matched" not in sentence(statement)
    assert list(trust_statements(study)) == []
    assert list(route_statements(told(trust_claims=claims(*found)))) == []  # no pair was declared


def test_measures_without_a_null_or_a_direction_claim_nothing():
    values = {("ce", "linear"): 0.5}
    assert list(trust_statements(told(trust=trust(values, null=nan)))) == []
    assert list(trust_statements(told(trust=trust(values, better=0)))) == []
    assert [each.claim for each in trust_statements(told())] == ["no_trust"]


def test_a_measure_that_the_study_cannot_have_is_named_with_what_it_lacks():
    left_out = pd.DataFrame([{"measure": "agreement", "needs": "setups", "reason": "one fill: name more in flipping.fills"}])
    (statement,) = left_out_statements(told(trust_left_out=left_out))
    assert sentence(statement) == "Not measured: agreement of the order of methods across set-ups, since one fill."
    assert statement.kind == Kind.CANNOT_SAY


def trust_contrasts(intervals, measure="references", better=1, n_seeds=5):
    rows = [
        {
            "measure": measure,
            "part": "plain",
            "model": "supcon",
            "minus": "ce",
            "head": f"h{place}",
            "units": "all",
            "fill": "all",
        }
        | {"difference": (low + high) / 2, "ci_low": low, "ci_high": high}
        for place, (low, high) in enumerate(intervals)
    ]
    return pd.DataFrame(rows).assign(better=better, n_seeds=n_seeds, n_images=100)


@pytest.mark.parametrize(
    ("intervals", "better", "claim"),
    [
        ([ABOVE, ABOVE], 1, "contrast_more"),
        ([ABOVE, ABOVE], -1, "contrast_less"),
        ([BELOW], 1, "contrast_less"),
        ([ABOVE, AROUND], 1, "contrast_partly"),
        ([ABOVE, BELOW], 1, "contrast_contradiction"),
        ([AROUND], 1, "contrast_open"),
        ([(nan, nan)], 1, "contrast_undefined"),
    ],
)
def test_trust_in_two_models_differs_only_where_all_cells_say_so(intervals, better, claim):
    sure = claim in ("contrast_more", "contrast_less")
    (statement,) = question_statements(told(trust_contrasts=trust_contrasts(intervals, better=better)))
    assert (statement.claim, statement.topic) == (claim, "question")
    assert statement.kind == (Kind.FOUND if sure else Kind.CANNOT_SAY)
    (few,) = question_statements(told(trust_contrasts=trust_contrasts(intervals, better=better, n_seeds=3)))
    assert few.kind == Kind.CANNOT_SAY
    (pair,) = pair_statements(told(contrasts=DECLARED, trust_contrasts=trust_contrasts(intervals, better=better)))
    assert pair.about["counts"][claim.removeprefix("contrast_")] == 1
    assert (len(pair.names), pair.kind) == (int(sure), statement.kind)


DECLARED = contrasts([ABOVE] * 4)


def test_pairs_whose_routes_say_another_thing_in_another_run_are_named_as_such():
    same = claims("none").assign(minus="ce_matched")
    declared = pd.concat([DECLARED, DECLARED.assign(minus="ce_matched")])
    runs = {
        run: told(contrasts=declared, trust_claims=pd.concat([claims(claim), same]))
        for run, claim in (("AVX2", "higher"), ("AVX512", "partly"))
    }
    text = sentence(one(verdict_of(runs), claim="routes_agree"))
    assert "`supcon` - `ce_matched` 0 within all in 1 of 1 cells; the runs disagree on `supcon` - `ce`; too few" in text


def test_a_declared_pair_is_told_in_one_sentence_with_the_numbers_that_are_found_and_other_pairs_not_at_all():
    tables = [trust_contrasts([ABOVE], measure=measure) for measure in ("agreement", "reliability")]
    open_ = [trust_contrasts([AROUND], measure="r_oms"), trust_contrasts([ABOVE, AROUND], measure="inside")]
    others = [tables[0].assign(model="ce_matched"), tables[0].assign(better=0, measure="towards")]
    study = told(contrasts=DECLARED, trust_contrasts=pd.concat([*tables, *open_, *others]))
    (statement,) = pair_statements(study)
    assert sentence(statement) == (
        "`supcon` is, against `ce`, in every cell more trustworthy by agreement of the order of methods across "
        "set-ups (plain) 0.20 "
        "[0.10, 0.30], agreement of single images on the order of methods (plain) 0.20 [0.10, 0.30] (nearest to 0, "
        "not corrected; "
        "5 seeds, 100 images); of 4 measures and parts the others tell them apart less, 1 in some cells alone, 1 in none, which "
        "does not make them equal; the rest is in trust_contrasts.csv."
    )
    assert list(question_statements(study)) == []
    assert list(pair_statements(told(trust_contrasts=pd.concat(tables)))) == []  # no pair was declared


def test_pairs_that_no_measure_tells_apart_share_a_sentence():
    pairs = [trust_contrasts([AROUND], measure="r_oms").assign(minus=minus) for minus in ("ce", "ce_matched")]
    declared = pd.concat([DECLARED, DECLARED.assign(minus="ce_matched")])
    (statement,) = condensed(list(pair_statements(told(contrasts=declared, trust_contrasts=pd.concat(pairs)))))
    assert sentence(statement) == (
        "No trust measure tells these apart in every cell, which does not make them equal: `supcon` - `ce` (of 1 "
        "measures and parts "
        "1 in none), `supcon` - `ce_matched` (of 1 measures and parts 1 in none) (not corrected; 5 seeds; the numbers are in "
        "trust_contrasts.csv)."
    )


def test_a_measure_that_tells_a_pair_apart_in_one_run_alone_is_not_stated():
    tables = {"AVX2": trust_contrasts([ABOVE], measure="r_oms"), "AVX512": trust_contrasts([AROUND], measure="r_oms")}
    runs = {cpu: told(contrasts=DECLARED, trust_contrasts=table) for cpu, table in tables.items()}
    statement = one(verdict_of(runs), claim="trust_pair")
    assert (statement.names, statement.kind) == ((), Kind.CANNOT_SAY)
    assert "No trust measure tells these apart in every cell in all runs" in sentence(statement)
    assert "of 1 measures and parts 1 in every cell of some runs alone, 0 / 1 in none" in sentence(statement)


def test_open_differences_that_share_a_claim_share_a_sentence_with_the_numbers_of_each():
    pairs = [contrasts([AROUND] * 4, p_holm=p).assign(minus=minus) for minus, p in (("ce", 0.9), ("ce_matched", 0.8))]
    found = contrasts([ABOVE] * 4).assign(minus="ce_finetuned")
    joined, higher = condensed(list(difference_statements(told(contrasts=pd.concat([*pairs, found])))))
    assert (joined.claim, joined.names, higher.claim) == ("undecided", ("`supcon` - `ce`", "`supcon` - `ce_matched`"), "higher")
    assert [number.value for number in joined.numbers_of("`supcon` - `ce_matched`")] == [pytest.approx(0.01)] * 4
    assert sentence(joined) == (
        "SRG (mean over methods and heads, units grid, fill mean) is shown neither to differ nor to be equivalent "
        "within 0.05 for: "
        "`supcon` - `ce` (matched 0.01 [-0.10, 0.12], kept 0.01 [-0.10, 0.12]), `supcon` - `ce_matched` (matched 0.01 [-0.10, "
        "0.12], kept 0.01 [-0.10, 0.12]) (confirmatory, Holm p = 0.9 / = 0.8; 5 seeds, 100 images)."
    )


def test_pairs_on_which_runs_disagree_share_a_sentence():
    tables = {
        run: pd.concat([contrasts([routes] * 4, p_holm=p).assign(minus=minus) for minus in ("ce", "ce_matched")])
        for run, routes, p in (("AVX2", ABOVE, 0.01), ("AVX512", AROUND, 0.9))
    }
    found = one(verdict_of({run: told(contrasts=table) for run, table in tables.items()}), claim="runs_disagree")
    assert found.names == ("`supcon` - `ce`", "`supcon` - `ce_matched`")
    assert sentence(found).count("AVX2: higher, AVX512: undecided") == 2


def test_a_contradiction_shows_the_route_that_makes_it():
    (statement,) = difference_statements(told(contrasts=contrasts([AROUND, ABOVE, AROUND, AROUND], p_holm=0.9)))
    assert statement.claim == "contradiction"
    assert "matched at the lowest temperature 0.20 [0.10, 0.30]" in sentence(statement)


@pytest.mark.parametrize(
    ("parts", "spoken"),
    [
        (["morf", "lerf", "srg", "srg_wins"], ["srg"]),
        (["morf_own", "srg_own"], ["srg_own"]),
        (["class", "mean"], ["class", "mean"]),
        (["srg_other_seed", "srg_mine", "morf_other_seed"], ["srg_other_seed"]),
    ],
)
def test_sentences_are_about_the_parts_of_srg_where_a_measure_has_them(parts, spoken):
    table = pd.concat([trust({("ce", "linear"): 0.5}).assign(part=part) for part in parts])
    (statement,) = trust_statements(told(trust=table))
    assert [part for part, _ in words(statement)] == spoken


@pytest.mark.parametrize(("first", "second", "claims"), [(ABOVE, ABOVE, ["single"]), (ABOVE, AROUND, ["single_none"])])
def test_a_single_method_must_differ_in_every_set_up(first, second, claims):
    table = pd.concat([contrasts([one] * 4).assign(method="lrp", fill=fill) for one, fill in ((first, "mean"), (second, "zero"))])
    found = list(single_statements(told(contrasts=table)))
    assert [each.claim for each in found] == claims
    assert ("lrp (supcon above ce)" in sentence(found[0])) == (claims == ["single"])


def test_the_move_within_the_intervals_of_the_temperatures_is_stated():
    table = summary()
    ends = [table[table["metric"] == "srg_matched"].assign(metric=end) for end in ("srg_matched_low", "srg_matched_high")]
    ends[1] = ends[1].assign(mean=ends[1]["mean"] + np.where(ends[1]["method"] == "ig", 0.07, 0.0))
    (statement,) = temperature_statements(told(summary=pd.concat([table, *ends])))
    assert sentence(statement).endswith("no mean of matched SRG moves by more than 0.07.")
    assert "ig" in source(statement)


@pytest.mark.parametrize(
    ("interval", "changes", "claim", "reason"),
    [
        (ABOVE, {}, "answer_for", None),
        (BELOW, {}, "answer_against", None),
        (AROUND, {}, "answer_open", "undecided"),
        ((nan, nan), {}, "answer_open", "undefined"),
        (ABOVE, {"models": ["supcon"]}, "answer_open", "no_pair"),
        (ABOVE, {"warn": True}, "answer_open", "checks"),
        (ABOVE, {"ig": 0.9}, "answer_open", "oracle_beaten"),
        (ABOVE, {"n_seeds": 3}, "answer_open", "few_seeds"),
        (None, {}, "answer_open", "unmeasured"),
    ],
)
def test_the_question_is_answered_only_where_nothing_forbids_it(interval, changes, claim, reason):
    table = pd.DataFrame() if interval is None else trust_contrasts([interval], n_seeds=changes.get("n_seeds", 5))
    checks = pd.DataFrame([{"setting": "alpha", "value": 0.1, "result": "warn" if "warn" in changes else "pass"}])
    tables = {"trust_contrasts": table, "checks": checks, "summary": summary({**MEANS, "ig": changes.get("ig", 0.6)})}
    study = replace(told(**tables), models=changes.get("models", STUDY.models))
    answer, *others = statements_of(study)
    assert answer.claim == claim
    assert (reason in answer.names) if reason else answer.names == ()
    assert answer == answer_of(study, others)


@pytest.mark.parametrize(
    ("second", "claim"),
    [
        (trust_contrasts([BELOW]).assign(model="ce_matched", minus="supcon"), "answer_for"),
        (trust_contrasts([ABOVE]).assign(model="ce_matched", minus="supcon"), "answer_open"),
        (trust_contrasts([BELOW]).assign(minus="ce_finetuned"), "answer_for"),
        (trust_contrasts([BELOW]).assign(model="ce_matched", minus="ce"), "answer_for"),
    ],
    ids=["turned round", "contradicted by a control", "a reference", "no contrastive model"],
)
def test_the_answer_rests_on_all_pairs_that_ask_the_question_whichever_way_they_are_written(second, claim):
    checks = pd.DataFrame([{"setting": "alpha", "value": 0.1, "result": "pass"}])
    table = pd.concat([trust_contrasts([ABOVE]), second])
    study = replace(told(trust_contrasts=table, checks=checks), models=["ce", "supcon", "ce_matched"])
    answer = statements_of(study)[0]
    assert answer.claim == claim
    assert claim == "answer_open" or "`supcon` - `ce` 0.20 [0.10, 0.30]" in sentence(answer)


def everything(**changes):
    """A study with every table."""
    models = pd.DataFrame([{"model": model, "seed": seed, "loss": model} for model in ("ce", "supcon") for seed in range(5)])
    tables = {
        "summary": summary(fills=("mean", "zero")),
        "contrasts": pd.concat([contrasts([ABOVE] * 4), contrasts([AROUND] * 4, family="exploratory").assign(fill="zero")]),
        "checks": pd.DataFrame([{"setting": "alpha", "value": 0.1, "result": "pass"}]),
        "models": models,
        "trust": trust({("ce", "linear"): 0.5, ("supcon", "linear"): 0.05}),
        "trust_contrasts": trust_contrasts([ABOVE]),
    }
    return told(**{**tables, **changes})


def test_the_page_has_its_sections_a_short_answer_and_the_rows_of_every_sentence():
    study = everything()
    statements = statements_of(study)
    text = markdown(page_of(study, statements))
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings == [
        *("Answer", "What was found", "What was not found", "What this study cannot say"),
        *("The instrument", "Trust measures", "How it was run"),
    ]
    shown = answers(statements)
    assert len(shown) <= MOST_SENTENCES and shown[0].topic == "answer"
    for each in statements:
        assert text.count(f"** {sentence(each)}\n") == 1
    numbers = re.findall(r"^- \*\*(\d+)\*\* ", text, flags=re.MULTILINE)
    assert sorted(map(int, numbers)) == list(range(1, len(statements) + 1))
    for each in shown:
        (number,) = re.findall(rf"^- {re.escape(sentence(each))} \[(\d+)\]$", text, flags=re.MULTILINE)
        assert f"- **{number}** {sentence(each)}\n" in text
    assert "| agreement | SRG | 0.50 [0.40, 0.60] | 0.05 [-0.05, 0.15] | 0 | higher |" in text


def test_the_table_of_trust_measures_is_of_one_head_that_all_models_have():
    table = pd.concat(
        [trust({("ce", "softmax"): 0.1, ("ce", "knn"): 0.2, ("supcon", "knn"): 0.3}), trust({("ce", "linear"): 0.4})]
    )
    text = markdown(page_of(told(trust=table), []))
    assert "For head knn, " in text and "| agreement | SRG | 0.20 [0.10, 0.30] | 0.30 [0.20, 0.40] | 0 | higher |" in text
    assert text.count("| agreement |") == 1
    both = pd.concat([table, trust({("supcon", "linear"): 0.5})])
    assert "| 0.40 [0.30, 0.50] | 0.50 [0.40, 0.60] |" in markdown(page_of(told(trust=both), []))


def test_sentences_of_the_answer_and_lines_of_rows_are_short():
    for runs, most in (({"": everything()}, 70), ({"AVX2": everything(), "AVX512": everything()}, 110)):
        found = verdict_of(runs)
        assert all(len(source(each)) <= LONGEST_SOURCE for each in found)
        assert all(len(sentence(each).split()) <= most for each in answers(found))
        assert all("..." not in source(each) for each in found)
    assert verdict_of({"": everything()})[0].topic == "answer"


def test_the_answer_names_the_measurement_that_is_missing_and_the_setting_that_gives_it():
    measured = trust({("ce", "linear"): 0.5}, measure="references")
    models = pd.DataFrame([{"model": model, "seed": seed} for model in ("ce", "supcon") for seed in range(3)])
    checks = pd.DataFrame([{"setting": "alpha", "value": 0.1, "result": "pass"}])
    answer = statements_of(told(trust=measured, models=models, checks=checks))[0]
    assert sentence(answer) == (
        "The study does not answer its question: the agreement of plain flipping with a reference trained on "
        "perturbed images was "
        "not measured for `supcon` (it was for `ce` alone); each needs one in `statistics.references` and `study.models`; 3 "
        "trainings per model are fewer than the 5 that a claim about recipes needs (`study.seeds`)."
    )
    other = statements_of(told(trust=trust({("ce", "linear"): 0.5}), models=models, checks=checks))[0]
    assert "was not measured for `ce`, `supcon`: `study.trust` leaves `references` out; 3 trainings" in sentence(other)
    left_out = pd.DataFrame([{"measure": "references", "needs": "references", "reason": "none"}])
    lacking = statements_of(told(trust=trust({("ce", "linear"): 0.5}), trust_left_out=left_out, models=models, checks=checks))[0]
    assert "for `ce`, `supcon`; each needs one in `statistics.references` and `study.models`; 3" in sentence(lacking)


def test_the_html_holds_the_same_sentences_and_escapes_names():
    study = replace(everything(), name="<b>")
    text = html(page_of(study, statements_of(study)))
    assert "<b>,</h1>" not in text and "&lt;b&gt;, none</h1>" in text
    plain = re.sub(r"<[^>]+>", "", text.replace("&gt;", ">").replace("&lt;", "<"))
    assert "SRG (mean over methods and heads, units grid, fill mean) is higher for supcon than for ce on every route" in plain


def numbers_in(text):
    return [float(number) for number in re.findall(r"-?\d+\.\d\d\b", text)]


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_numbers_in_sentences_are_those_of_the_tables_to_the_printed_digits(data):
    mean = st.floats(-1, 1, allow_nan=False)
    change = {
        (model, "linear", fill, method): data.draw(mean)
        for model, fill, method in product(("ce", "supcon"), ("mean", "zero"), MEANS)
    }
    study = told(summary=summary(fills=("mean", "zero"), change=change))
    for statement in statements_of(study):
        printed, known = numbers_in(sentence(statement)), []
        for number in statement.evidence:
            known += [value for value in (number.value, number.low, number.high) if value is not None]
            rows = study.table("summary")
            columns = rows[["mean", "ci_low", "ci_high", "excess", "excess_ci_low", "excess_ci_high"]].to_numpy()
            if not number.row.startswith("mean over"):
                assert np.isclose(columns, number.value).any()
        assert all(any(abs(value - one) <= 0.005 + 1e-9 for one in known) for value in printed)


@given(st.integers(0, 10_000), st.sampled_from([nan, inf]))
@settings(max_examples=25, deadline=None)
def test_no_sentence_is_made_from_an_undefined_number_without_saying_so(place, bad):
    study = everything()
    spots = [
        (name, column, row)
        for name, columns in (
            ("summary", ["mean", "ci_low", "ci_high", "excess", "excess_ci_low", "excess_ci_high"]),
            ("contrasts", ["difference", "ci_low", "ci_high"]),
            ("trust", ["value", "ci_low", "ci_high"]),
            ("trust_contrasts", ["difference", "ci_low", "ci_high"]),
        )
        for column in columns
        for row in range(len(study.table(name)))
    ]
    name, column, row = spots[place % len(spots)]
    table = study.table(name).reset_index(drop=True).copy()
    table.loc[row, column] = bad
    for statement in statements_of(replace(study, tables={**study.tables, name: table})):
        text = sentence(statement)
        assert not re.search(r"\bnan\b|\binf\b|None", text), text
        if not all(number.defined for number in statement.evidence):
            assert "undefined" in text
            assert statement.kind == Kind.CANNOT_SAY


CLAIMS = re.compile(r'"((?:random|order|leader|baseline|control|checks|oracle|one|few|no|trust|answer|routes)_\w+)"')


@pytest.mark.parametrize("module", ["differences", "ranking", "instrument", "trusting", "comparing", "answering"])
def test_every_claim_that_a_rule_can_make_has_a_sentence(module):
    source = (LIBRARY / "verdict" / f"{module}.py").read_text()
    claims = set(CLAIMS.findall(source)) - {"trust_contrasts", "trust_claims"}
    contrasts = {f"contrast_{claim}" for claim in ("more", "less", "partly", "open", "contradiction", "undefined")}
    assert claims | contrasts <= set(SENTENCES)


def test_runs_that_agree_are_stated_with_the_numbers_of_each_and_others_as_disagreeing():
    same = {cpu: statements_of(told(contrasts=contrasts([ABOVE] * 4, p_holm=p))) for cpu, p in (("AVX2", 0.01), ("AVX512", 0.02))}
    text = sentence(one(common(same), claim="higher"))
    assert "AVX2 matched 0.20 [0.10, 0.30]" in text and "AVX512 kept 0.20 [0.10, 0.30]" in text
    assert "Holm p = 0.01 / = 0.02" in text
    other = {**same, "AVX512": statements_of(told(contrasts=contrasts([AROUND] * 4, p_holm=0.9)))}
    text = sentence(one(common(other), claim="runs_disagree"))
    assert text.startswith(
        "Runs disagree on differences (grid, mean, srg_matched), and nothing is concluded: `supcon` - `ce` (AVX2: "
        "higher, AVX512: "
        "undecided; AVX2 matched 0.20 [0.10, 0.30], AVX512 matched 0.01 [-0.10, 0.12])."
    )


def test_names_that_share_a_claim_in_one_run_alone_are_not_stated():
    runs = {
        "AVX2": statements_of(told(summary=summary())),
        "AVX512": statements_of(told(summary=summary(change={("ce", "linear", "mean", "lrp"): 0.01}))),
    }
    same = one(common(runs), claim="random_held", method="ig")
    assert sentence(same).count("0.60 [0.55, 0.65]") == 2
    stated = one(common(runs), claim="random_held", method="lrp")
    assert (stated.names, stated.kind) == (("supcon shown",), Kind.NOT_FOUND)
    assert sentence(stated) == (
        "`lrp` is shown to exceed random (head, metric, units, fill) in every cell of `supcon` (least AVX2 0.30 "
        "[0.25, 0.35], AVX512 "
        "0.30 [0.25, 0.35]); the runs disagree on `ce` (5 seeds, 100 images)."
    )
    left = [each for each in common(runs) if each.claim == "runs_disagree"]
    assert [(each.topic, each.about["names"]) for each in left] == [("controls", ["ig", "lrp"])]


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_side_of_an_interval_is_that_of_both_its_ends(value, below, above):
    assume(below + above > 0)
    number = Evidence("", value, value - below, value + above)
    assert number.side == (1 if value - below > 0 else -1 if value + above < 0 else 0)


def test_the_rules_are_told_models_and_methods_by_what_they_are():
    config = filled_config()
    config["study"]["name"] = "invented"
    config["study"]["methods"] += ["sobel", "ig_zero"]
    config["methods"]["ig_zero"] = {"method": "integrated_gradients", "baseline": "zero"}
    config["flipping"]["fills"] = ["zero", "mean"]
    config["models"]["ce_matched"]["masks"] = {**config["models"]["ce_matched"]["masks"], "share": 0.1}
    told = params.state_verdict(config, SimpleNamespace(dataset="digits"))
    study = Study(dataset="digits", **told)
    assert (study.contrastive, study.references) == (["supcon"], ["ce_matched"])
    assert (study.controls, study.blind, study.oracles) == (["random", "sobel"], ["random", "sobel"], [])
    assert study.baselines == {"integrated_gradients": ["mean"], "ig_zero": ["zero"]}
    assert (study.units, study.fill) == ("grid", "zero")
    assert study.explaining == ["saliency", "integrated_gradients", "grad_cam", "grad_cam_pp", "lrp", "ig_zero"]


def test_the_page_names_declared_contrasts_that_were_not_tested():
    study = replace(STUDY, not_tested=[["supcon", "ce_matched"]])
    assert "that are not tested, since the study leaves out a model: supcon - ce_matched." in markdown(page_of(study, []))
