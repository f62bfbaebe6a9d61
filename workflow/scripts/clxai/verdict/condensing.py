"""Fewer sentences: statements that say the same of several pairs, set-ups or measures become one that names them all."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

from clxai.verdict.differences import pair_of
from clxai.verdict.records import Statement

_PAIRS = ("undecided", "contradiction", "undefined", "route_missing")
_SHARED = ("quantity", "units", "fill", "method", "head", "metric", "confirmatory", "n_seeds", "margin")


def condensed(statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements with those joined that share a claim, each where the first of them stands.

    What the answer gives as a reason is not stated again, nor that one method leads where one sentence gives all orders.
    """
    told = {name for one in statements if one.claim == "answer_open" for name in one.names}
    groups: dict[Hashable, list[Statement]] = {}
    for one in (one for one in statements if one.claim not in told):
        groups.setdefault(_key(one) or id(one), []).append(one)
    found = [_joined(group) for group in groups.values()]
    whole = {len(one.about.get("joined", ())) for one in found if one.claim == "order"}
    return [one for one in found if not (one.claim == "leader_same" and one.about["same_order"] and one.about["n"] in whole)]


def _key(one: Statement) -> Hashable:
    """Return what statements share that are to be joined; None for one that stands alone."""
    if one.topic == "differences" and one.claim in _PAIRS:
        return (one.claim, one.kind, len(one.evidence), *(str(one.about[name]) for name in _SHARED))
    if one.topic == "differences" and one.claim == "runs_disagree" and "metric" in one.about:
        return (one.claim, len(one.evidence), *one.place[2:])
    if one.claim == "over_setups":
        return (one.claim, one.about["n"], one.about["few"], len(one.evidence))
    if one.claim == "trust_pair" and not one.names:
        return (one.claim, one.about["n_seeds"])
    if one.claim == "trust_left_out":
        return one.claim
    if one.claim == "order":
        versions = one.about.get("versions", [one.about])
        return (one.claim, one.about["units"], one.names, str([(each["shared"], each["n_metrics"]) for each in versions]))
    return None


def _joined(group: Sequence[Statement]) -> Statement:
    """Return one statement for a group: its names are pairs where it is about pairs, else those that all share."""
    first = group[0]
    if len(group) == 1:
        return first
    about = {**first.about, "joined": [one.about for one in group]}
    if first.claim == "order":
        numbers = tuple(number for name in first.names for one in group for number in one.numbers_of(name))
        return replace(first, about=about, evidence=numbers)
    numbers = tuple(number for one in group for number in one.evidence)
    names = tuple(pair_of(one) for one in group) if first.topic == "differences" else ()
    return replace(first, names=names, about=about, evidence=numbers)
