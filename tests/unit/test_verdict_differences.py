"""A difference between models is claimed only where test and all routes agree."""

from math import nan

import pandas as pd
import pytest
from clxai.verdict.condensing import condensed
from clxai.verdict.differences import difference_statements, needed_statements, single_statements
from clxai.verdict.phrasing import source
from clxai.verdict.records import Kind
from clxai.verdict.rules import verdict_of
from clxai.verdict.wording import sentence
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import ABOVE, AROUND, BELOW, DECLARED, TIGHT, claims, contrasts, one, told, trust_contrasts


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


def naopc(intervals, **columns):
    """NAOPC of one head each, and parts of routes that are no such thing."""
    other = trust_contrasts([BELOW], "routes").assign(part="kept", units="grid", fill="mean")
    own = trust_contrasts(intervals, "routes").assign(part="naopc", units="grid", fill="mean")
    return pd.concat([other, own]).assign(**columns)


@pytest.mark.parametrize(
    ("routes", "heads", "claim"),
    [
        ([ABOVE] * 4, [ABOVE, ABOVE], "higher"),
        ([BELOW] * 4, [BELOW, BELOW], "lower"),
        ([ABOVE] * 4, [ABOVE, AROUND], "contradiction"),
        ([BELOW] * 4, [AROUND, BELOW], "contradiction"),
        ([ABOVE] * 4, [BELOW, BELOW], "contradiction"),
        ([ABOVE] * 4, [ABOVE, (nan, nan)], "undefined"),
        ([TIGHT] * 4, [AROUND, AROUND], "equivalent"),
        ([TIGHT] * 4, [ABOVE, ABOVE], "contradiction"),
    ],
)
def test_normalised_areas_must_agree_on_every_head_where_orders_were_searched(routes, heads, claim):
    equivalent = {"p_holm": 0.9, "equivalent": True} if routes[0] == TIGHT else {}
    table = contrasts(routes, **equivalent)
    (statement,) = difference_statements(told(contrasts=table, trust_contrasts=naopc(heads)))
    assert statement.claim == claim
    (elsewhere,) = difference_statements(told(contrasts=table, trust_contrasts=naopc(heads, fill="zero")))
    (without,) = difference_statements(told(contrasts=table))
    assert elsewhere == without


def test_a_sentence_names_the_normalised_area_of_the_head_that_says_least():
    (statement,) = difference_statements(told(contrasts=DECLARED, trust_contrasts=naopc([ABOVE, (0.02, 0.5)])))
    assert "kept 0.20 [0.10, 0.30], NAOPC 0.26 [0.02, 0.50] (confirmatory" in sentence(statement)
    assert source(statement).endswith(
        "; trust_contrasts.csv: model supcon, minus ce, measure routes, part naopc, units grid, fill mean, head h1"
    )


def test_a_model_whose_normalised_area_is_lower_is_not_called_as_good():
    table = contrasts([AROUND] * 4, p_holm=0.9, noninferior=True, p_noninferior_holm=0.01)
    for heads, expected in (([AROUND], ["undecided", "noninferior"]), ([BELOW], ["contradiction"])):
        found = difference_statements(told(contrasts=table, trust_contrasts=naopc(heads)))
        assert [one.claim for one in found] == expected


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


def test_pairs_whose_routes_say_another_thing_in_another_run_are_named_as_such():
    same = claims("none").assign(minus="ce_matched")
    declared = pd.concat([DECLARED, DECLARED.assign(minus="ce_matched")])
    runs = {
        run: told(contrasts=declared, trust_claims=pd.concat([claims(claim), same]))
        for run, claim in (("AVX2", "higher"), ("AVX512", "partly"))
    }
    text = sentence(one(verdict_of(runs), claim="routes_agree"))
    assert "`supcon` - `ce_matched` 0 within all in 1 of 1 cells; the runs disagree on `supcon` - `ce`; too few" in text


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


@pytest.mark.parametrize(("first", "second", "claims"), [(ABOVE, ABOVE, ["single"]), (ABOVE, AROUND, ["single_none"])])
def test_a_single_method_must_differ_in_every_set_up(first, second, claims):
    table = pd.concat([contrasts([one] * 4).assign(method="lrp", fill=fill) for one, fill in ((first, "mean"), (second, "zero"))])
    found = list(single_statements(told(contrasts=table)))
    assert [each.claim for each in found] == claims
    assert ("lrp (supcon above ce)" in sentence(found[0])) == (claims == ["single"])
