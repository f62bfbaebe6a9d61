"""Several studies in few sentences: of each its answer first, then what that rests on, and what would settle what is open."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

from clxai.verdict.page import LAST_WEIGHT, MOST_SENTENCES
from clxai.verdict.records import Evidence, Statement
from clxai.verdict.wording import sentence

MOST_SEEDS = 1000  # a number beyond it is only called more
_ROUNDING = 1e-6  # of a number of seeds: intervals are sums of decimal fractions
_OPEN = ("contrast_open", "contrast_partly")
_LEAD: Sequence[Callable[[Statement], bool]] = (
    lambda one: one.topic == "answer",
    lambda one: one.topic == "question",
    lambda one: one.topic == "oracle",
    lambda one: one.topic == "differences",
    lambda one: one.claim == "needed",
)


def together(studies: Mapping[str, Sequence[Statement]], most: int = MOST_SENTENCES) -> dict[str, list[Statement]]:
    """Return at most so many statements by study, in turn one of each: its answer, the agreement with the references, the known
    truth, a difference between models, the seeds that would show one, then the others of its page by weight.
    """
    waiting = {name: _queue(statements) for name, statements in studies.items()}
    chosen: dict[str, list[Statement]] = {name: [] for name in studies}
    while any(waiting.values()) and sum(map(len, chosen.values())) < most:
        for name, queue in waiting.items():
            if queue and sum(map(len, chosen.values())) < most:
                chosen[name].append(queue.pop(0))
    return chosen


def _queue(statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements of a page's answer, the first of each leading topic before all others."""
    pool = sorted((one for one in statements if one.weight < LAST_WEIGHT), key=lambda one: one.weight)
    lead = [first for is_of in _LEAD if (first := next(filter(is_of, pool), None)) is not None]
    return [*lead, *(one for one in pool if not any(one is other for other in lead))]


def told(statement: Statement) -> str:
    """Return the sentence of a statement, and of an open question what would settle it."""
    if statement.topic != "question" or statement.claim not in _OPEN:
        return sentence(statement)
    seeds = " / ".join(dict.fromkeys(map(_seeds, statement.evidence)))
    return f"{sentence(statement).removesuffix('.')}; to tell a difference of this size from 0 would take {seeds}."


def _seeds(number: Evidence) -> str:
    """Return how many seeds would take 0 out of an interval about the same value, its width falling with their root."""
    needed = seeds_to_settle(number)
    if needed is None:
        return "a number of seeds that cannot be estimated"
    return f"more than {MOST_SEEDS} seeds" if needed > MOST_SEEDS else f"about {needed} seeds"


def seeds_to_settle(number: Evidence) -> int | None:
    """Return `n (h / d)^2`, rounded up, at least n: d the number, h its distance to the end that lies beyond 0, n its seeds.

    None where that is not defined, or the number is 0.
    """
    if not number.defined or number.low is None or number.high is None or not number.n_seeds or number.value == 0:
        return None
    reach = number.value - number.low if number.value > 0 else number.high - number.value
    return max(ceil(number.n_seeds * (reach / number.value) ** 2 - _ROUNDING), number.n_seeds)
