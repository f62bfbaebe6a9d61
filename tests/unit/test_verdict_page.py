"""The page says what its statements say: answer, sections, rows, numbers, several runs."""

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
from clxai.verdict.page import MOST_SENTENCES, answers, page_of
from clxai.verdict.phrasing import LONGEST_SOURCE, source
from clxai.verdict.records import Evidence, Kind, Study
from clxai.verdict.rendering import html, markdown
from clxai.verdict.rules import common, statements_of, verdict_of
from clxai.verdict.wording import SENTENCES, sentence
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from invented import ABOVE, AROUND, BELOW, MEANS, STUDY, contrasts, everything, one, summary, told, trust, trust_contrasts
from project import filled_config


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
