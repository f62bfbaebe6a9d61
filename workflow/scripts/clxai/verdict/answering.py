"""The rule for the question of the study: supported, contradicted or open, and if open, why."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from clxai.measures.levels import FEW_SEEDS
from clxai.verdict.comparing import direction_of
from clxai.verdict.differences import pair_of
from clxai.verdict.records import Kind, Statement, Study
from clxai.verdict.trusting import QUESTION


def answer_of(study: Study, statements: Sequence[Statement]) -> Statement:
    """Return the answer: yes or no only if every contrast of a contrastive model with another says so, and nothing forbids it.

    The contrasts are those of the agreement with the references, all parts and pairs, models that are references left out.
    """
    asked = [one for one in statements if one.claim.startswith("contrast_") and one.topic == "question"]
    asked = [one for one in asked if direction_of(study, one)]
    claims = {_claim(study, one) for one in asked}
    reasons = tuple(dict.fromkeys(_reasons(study, statements, asked, claims)))
    numbers = tuple(replace(number, label=pair_of(one)) for one in asked for number in one.evidence)
    if reasons or claims not in ({"contrast_more"}, {"contrast_less"}):
        return Statement("answer", "answer_open", Kind.CANNOT_SAY, (), reasons, _lack(study), (), weight=0)
    claim, kind = ("answer_for", Kind.FOUND) if claims == {"contrast_more"} else ("answer_against", Kind.NOT_FOUND)
    return Statement("answer", claim, kind, (), (), {"n": len(asked)}, numbers, weight=0)


def _lack(study: Study) -> dict[str, object]:
    """Return what the reasons name: models with and without an agreement with their reference, and the number of trainings."""
    trust = study.table("trust")
    having = set() if trust.empty else set(trust.loc[trust["measure"] == QUESTION, "model"])
    asked = [name for name in study.models if name not in study.references]
    told = {"missing": [name for name in asked if name not in having], "having": [name for name in asked if name in having]}
    left_out = study.table("trust_left_out")
    told["named"] = not (trust.empty or having) and (left_out.empty or QUESTION not in set(left_out["measure"]))
    return {**told, "n_seeds": study.n_trainings, "least": FEW_SEEDS}


def _claim(study: Study, one: Statement) -> str:
    """Return the claim of a contrast, seen from its contrastive model."""
    turned = {"contrast_more": "contrast_less", "contrast_less": "contrast_more"}
    return one.claim if direction_of(study, one) > 0 else turned.get(one.claim, one.claim)


def _reasons(study: Study, statements: Sequence[Statement], asked: Sequence[Statement], seen: set[str]) -> Iterable[str]:
    """Yield why the question stays open, as keys of the wording."""
    claims = {one.claim for one in statements}
    if "oracle_beaten" in claims:
        yield "oracle_beaten"
    if claims & {"checks_warn", "no_checks"}:
        yield "checks"
    if not study.contrastive or set(study.models) <= {*study.contrastive, *study.references}:
        yield "no_pair"
    if not asked:
        yield "unmeasured"
    elif "contrast_undefined" in seen:
        yield "undefined"
    elif seen not in ({"contrast_more"}, {"contrast_less"}):
        yield "undecided"
    if claims & {"few_seeds", "one_seed"} or any(one.about["few"] for one in asked):
        yield "few_seeds"
