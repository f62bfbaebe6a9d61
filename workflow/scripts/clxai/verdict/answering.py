"""The rule for the question of the study: supported, contradicted or open, and if open, why."""

from collections.abc import Iterable, Sequence

from clxai.verdict.records import Kind, Statement, Study
from clxai.verdict.trusting import QUESTION


def answer_of(study: Study, statements: Sequence[Statement]) -> Statement:
    """Return the answer: yes or no only if every contrast of a contrastive model with another says so, and nothing forbids it.

    The contrasts are those of the agreement with the references, all parts and pairs, models that are references left out.
    """
    asked = [one for one in statements if one.claim.startswith("contrast_") and one.about["measure"] == QUESTION]
    asked = [one for one in asked if _is_the_question(study, one)]
    reasons = tuple(dict.fromkeys(_reasons(study, statements, asked)))
    claims = {one.claim for one in asked}
    numbers = tuple(number for one in asked for number in one.evidence)
    if reasons or claims not in ({"contrast_more"}, {"contrast_less"}):
        return Statement("answer", "answer_open", Kind.CANNOT_SAY, (), reasons, {}, (), weight=0)
    claim, kind = ("answer_for", Kind.FOUND) if claims == {"contrast_more"} else ("answer_against", Kind.NOT_FOUND)
    return Statement("answer", claim, kind, (), (), {"n": len(asked)}, numbers, weight=0)


def _is_the_question(study: Study, one: Statement) -> bool:
    first, second = one.about["model"] in study.contrastive, one.about["minus"] in study.contrastive
    return first and not second and not {one.about["model"], one.about["minus"]} & set(study.references)


def _reasons(study: Study, statements: Sequence[Statement], asked: Sequence[Statement]) -> Iterable[str]:
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
    elif any(one.claim == "contrast_undefined" for one in asked):
        yield "undefined"
    elif {one.claim for one in asked} not in ({"contrast_more"}, {"contrast_less"}):
        yield "undecided"
    if claims & {"few_seeds", "one_seed"} or any(one.about["few"] for one in asked):
        yield "few_seeds"
