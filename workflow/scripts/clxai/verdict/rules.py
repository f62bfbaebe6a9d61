"""All rules: from the tables of a study to its statements."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from clxai.verdict.answering import answer_of
from clxai.verdict.comparing import pair_statements, question_statements
from clxai.verdict.condensing import condensed
from clxai.verdict.differences import difference_statements, needed_statements, single_statements
from clxai.verdict.instrument import (
    accuracy_statements,
    check_statements,
    oracle_statements,
    reference_statements,
    size_statements,
    temperature_statements,
    variance_statements,
)
from clxai.verdict.ranking import control_statements, order_statements, random_statements
from clxai.verdict.records import Evidence, Kind, Statement, Study, of_run
from clxai.verdict.trusting import left_out_statements, route_statements, trust_statements

RULES: Sequence[Callable[[Study], Iterable[Statement]]] = (
    oracle_statements,
    check_statements,
    question_statements,
    difference_statements,
    single_statements,
    pair_statements,
    route_statements,
    trust_statements,
    left_out_statements,
    control_statements,
    order_statements,
    random_statements,
    needed_statements,
    size_statements,
    accuracy_statements,
    reference_statements,
    temperature_statements,
    variance_statements,
)


def statements_of(study: Study) -> list[Statement]:
    """Return all statements that the rules draw from a study: the answer to its question, then those of each rule.

    Whatever a rule says, nothing that rests on an undefined number is found, nor found not to be.
    """
    found = [_doubted(statement) for rule in RULES for statement in rule(study)]
    return [answer_of(study, found), *found]


def verdict_of(runs: Mapping[str, Study]) -> list[Statement]:
    """Return what a page states: what all runs of a study say, by name, in few sentences."""
    return condensed(common({run: statements_of(study) for run, study in runs.items()}))


def _doubted(statement: Statement) -> Statement:
    defined = all(number.defined for number in statement.evidence)
    return statement if defined else replace(statement, kind=Kind.CANNOT_SAY)


def common(runs: Mapping[str, Sequence[Statement]]) -> list[Statement]:
    """Return what several runs of one study say alike, with the numbers of each; where they do not, that they disagree.

    Of names that share a claim in some runs alone, only those of all runs are stated.
    """
    if len(runs) == 1:
        return list(next(iter(runs.values())))
    named = {run: {(one.topic, *one.place): one for one in of_run(statements, run)} for run, statements in runs.items()}
    keys = dict.fromkeys(key for statements in named.values() for key in statements)
    return [_merged([statements.get(key) for statements in named.values()], tuple(named)) for key in keys]


def _merged(versions: Sequence[Statement | None], runs: Sequence[str]) -> Statement:
    """Return one statement for the versions of several runs; None where a run says nothing of it."""
    said = [one for one in versions if one is not None]
    first, numbers = said[0], tuple(number for one in said for number in one.evidence)
    shared = [name for name in first.names if all(name in one.names for one in said)]
    kinds = {one.kind for one in said}
    alike = len(said) == len(versions) and len({one.claim for one in said}) == 1
    if alike and first.claim in IN_PART:
        kind = max(kinds, key=list(Kind).index)
        return replace(first, names=tuple(shared), kind=kind, evidence=_numbers(said, shared), about=_about(said))
    ordered = len({one.names for one in said}) == 1 or first.claim not in ORDERED
    if not alike or len(kinds) > 1 or not ordered or (first.names and not shared):
        about = {"claims": {run: None if one is None else one.claim for run, one in zip(runs, versions, strict=True)}}
        told = {**first.about, **about, "names": sorted({name for one in said for name in one.names})}
        return Statement(first.topic, "runs_disagree", Kind.CANNOT_SAY, first.place, (), told, numbers, first.weight)
    if not shared:
        return replace(first, evidence=numbers, about=_about(said))
    return replace(first, names=tuple(shared), evidence=_numbers(said, shared), about=_about(said))


def _numbers(said: Sequence[Statement], names: Sequence[str]) -> tuple[Evidence, ...]:
    return tuple(number for name in names for one in said for number in one.numbers_of(name))


IN_PART = ("trust_held", "random_held", "trust_pair", "routes_agree", "needed")  # stated of the names that runs share, or of none
ORDERED = ("order",)  # claims whose names are a sequence


def _about(said: Sequence[Statement]) -> dict:
    """Return what the sentence needs of all versions: facts that differ are listed by run where the wording asks for them."""
    first = dict(said[0].about)
    first["versions"] = [dict(one.about) for one in said]
    return first
