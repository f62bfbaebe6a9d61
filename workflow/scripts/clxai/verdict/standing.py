"""How numbers stand against a bar: beyond it in every cell of a model, in some, in none, or on the wrong side in all."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clxai.verdict.records import Evidence, Kind, Statement


class Cell(NamedTuple):
    """A number, and the ends of its interval as seen from the bar: positive where they are beyond it."""

    number: Evidence
    low: float
    high: float


class Standing(NamedTuple):
    """Where a part of a measure stands on a model: `word` (shown, partly, not_shown, against, undefined), share of its cells."""

    part: str
    model: str
    word: str
    share: str


def standing_of(cells: Sequence[Cell]) -> tuple[str, Evidence, str]:
    """Return the word for a model's cells, the cell that says it least, and in how many cells it is so."""
    bad = [cell.number for cell in cells if not cell.number.defined]
    if bad:
        return "undefined", bad[0], f"{len(bad)} of {len(cells)}"
    n_beyond, n_against = sum(cell.low > 0 for cell in cells), sum(cell.high < 0 for cell in cells)
    if n_against == len(cells):
        return "against", max(cells, key=lambda cell: cell.high).number, f"{n_against} of {len(cells)}"
    word = "shown" if n_beyond == len(cells) else "partly" if n_beyond else "not_shown"
    return word, min(cells, key=lambda cell: cell.low).number, f"{n_beyond} of {len(cells)}"


def held(
    topic: str, claim: str, place: tuple[str, ...], cells: Mapping[tuple[str, str], Sequence[Cell]], about: Mapping[str, Any]
) -> Statement:
    """Return one statement for the cells of all parts and models, found only if every cell of all is beyond the bar.

    The names hold part, model and word, so that of several runs only those are stated that stand alike in all.
    """
    standings, numbers = {}, []
    for (part, model), own in cells.items():
        word, number, share = standing_of(own)
        standings[" ".join((part, model, word)).strip()] = Standing(part, model, word, share)
        numbers.append(number)
    words = {one.word for one in standings.values()}
    kind = Kind.CANNOT_SAY if "undefined" in words else Kind.FOUND if words == {"shown"} else Kind.NOT_FOUND
    told = {**about, "standings": standings, "n_models": len({one.model for one in standings.values()})}
    return Statement(topic, claim, kind, place, tuple(standings), told, tuple(numbers))
