"""What the page says of methods, controls, known truth, self-checks and size is what invented tables hold."""

from dataclasses import replace
from math import nan

import numpy as np
import pandas as pd
import pytest
from clxai.verdict.instrument import (
    accuracy_statements,
    check_statements,
    oracle_statements,
    reference_statements,
    size_statements,
    temperature_statements,
    variance_statements,
)
from clxai.verdict.phrasing import source
from clxai.verdict.ranking import control_statements, order_statements, random_statements
from clxai.verdict.records import Kind
from clxai.verdict.wording import sentence
from invented import MEANS, STUDY, one, summary, told, words


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


def test_the_move_within_the_intervals_of_the_temperatures_is_stated():
    table = summary()
    ends = [table[table["metric"] == "srg_matched"].assign(metric=end) for end in ("srg_matched_low", "srg_matched_high")]
    ends[1] = ends[1].assign(mean=ends[1]["mean"] + np.where(ends[1]["method"] == "ig", 0.07, 0.0))
    (statement,) = temperature_statements(told(summary=pd.concat([table, *ends])))
    assert sentence(statement).endswith("no mean of matched SRG moves by more than 0.07.")
    assert "ig" in source(statement)
