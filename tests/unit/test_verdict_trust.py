"""What the page says of trust measures, on each model and between models, is what invented tables hold."""

from math import nan

import pandas as pd
import pytest
from clxai.verdict.comparing import pair_statements, question_statements
from clxai.verdict.condensing import condensed
from clxai.verdict.phrasing import source
from clxai.verdict.records import Kind
from clxai.verdict.rules import verdict_of
from clxai.verdict.trusting import left_out_statements, route_statements, trust_statements
from clxai.verdict.wording import sentence
from invented import ABOVE, AROUND, BELOW, DECLARED, claims, contrasts, one, told, trust, trust_contrasts, words


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
    study = told(
        trust_claims=pd.concat([claims(*found, searched=1), other]), trust=trust({("ce", "knn"): 0.5}, measure="routes"), **tables
    )
    (statement,) = route_statements(study)
    assert statement.kind == kind
    assert sentence(statement).endswith(said) and "ce_matched" not in sentence(statement)
    assert list(trust_statements(study)) == []
    assert "NAOPC in 1 of 2 cells" in sentence(statement)
    assert list(route_statements(told(trust_claims=claims(*found)))) == []  # no pair was declared


def test_routes_claim_nothing_together_where_naopc_is_not_among_them():
    models = pd.DataFrame([{"model": model, "seed": seed} for model in ("ce", "supcon") for seed in range(5)])
    tables = {"contrasts": contrasts([ABOVE] * 4), "models": models}
    (statement,) = route_statements(told(trust_claims=claims("higher", "higher"), **tables))
    assert statement.kind == Kind.CANNOT_SAY
    assert "NAOPC in none" in sentence(statement)


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


def test_part_without_words_stands_without_a_comma_before_it():
    parts = [trust({("ce", "linear"): 0.5}, measure="replication").assign(part=part) for part in ("srg", "srg_halves")]
    (statement,) = trust_statements(told(trust=pd.concat(parts)))
    assert "(0: no trust): in every cell of `ce`" in sentence(statement)
    assert "; by halves of the seeds, in every cell of `ce`" in sentence(statement)


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
