"""Rules for the trust measures: what speaks for the test on each model, and whether it speaks more for one model than another."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from clxai.measures.levels import FEW_SEEDS
from clxai.verdict.records import Evidence, Kind, Statement, Study, evidence_of

QUESTION = "references"  # the measure that holds plain flipping against networks that were trained for it
_CELL = ("head", "units", "fill")


def trust_statements(study: Study) -> Iterable[Statement]:
    """Yield for each measure and part the models whose every cell is beyond the value of no trust, whose some is, whose none is.

    Cells are (head, units, fill). Measures without a value of no trust or without a direction stand in the table alone.
    """
    trust = study.table("trust")
    if trust.empty:
        yield Statement("trust", "no_trust", Kind.CANNOT_SAY, ("none",), weight=9)
        return
    judged = trust[trust["null"].notna() & (trust["better"] != 0)]
    for (measure, part), rows in judged.groupby(["measure", "part"], sort=False, dropna=False):
        claims: dict[str, list[tuple[str, Evidence, str]]] = {}
        for model in (name for name in study.models if name in set(rows["model"])):
            claim, number, share = _against_null(rows[rows["model"] == model])
            claims.setdefault(claim, []).append((model, number, share))
        for claim, cells in claims.items():
            names, numbers, shares = zip(*cells, strict=True)
            about = {"measure": str(measure), "part": _text(part), "shares": dict(zip(names, shares, strict=True))}
            about |= {"null": float(rows["null"].iloc[0]), "better": int(rows["better"].iloc[0])}
            kind = {"shown": Kind.FOUND, "undefined": Kind.CANNOT_SAY}.get(claim, Kind.NOT_FOUND)
            yield Statement(
                "trust", f"trust_{claim}", kind, (str(measure), _text(part), claim), names, about, numbers, _weight(measure)
            )


def _against_null(rows: pd.DataFrame) -> tuple[str, Evidence, str]:
    """Return what a model's cells say of one measure, the cell that says it least, and in how many it is shown."""
    cells = [_signed(row) for row in rows.to_dict("records")]
    bad = [number for number, _, _ in cells if not number.defined]
    if bad:
        return "undefined", bad[0], f"{len(bad)} of {len(cells)}"
    sides = [(low > 0) - (high < 0) for _, low, high in cells]
    n_shown, n_against = sides.count(1), sides.count(-1)
    if n_against == len(cells):
        return "against", max(cells, key=lambda cell: cell[2])[0], f"{n_against} of {len(cells)}"
    claim = "shown" if n_shown == len(cells) else "partly" if n_shown else "not_shown"
    return claim, min(cells, key=lambda cell: cell[1])[0], f"{n_shown} of {len(cells)}"


def _signed(row: Mapping[str, Any]) -> tuple[Evidence, float, float]:
    """Return a number and the ends of its interval seen from the value of no trust, positive where there is more trust."""
    number = evidence_of(row, "trust", "value", "ci_low", "ci_high")
    ends = sorted((end - row["null"]) * row["better"] for end in (number.low, number.high))
    return number, ends[0], ends[1]


def left_out_statements(study: Study) -> Iterable[Statement]:
    """Yield for each trust measure that the study cannot have what it lacks."""
    for row in study.table("trust_left_out").to_dict("records"):
        about = {"measure": row["measure"], "part": "", "reason": row["reason"]}
        yield Statement("trust", "trust_left_out", Kind.CANNOT_SAY, (row["measure"], "left out"), (), about, weight=32)


def trust_contrast_statements(study: Study) -> Iterable[Statement]:
    """Yield for each measure, part and pair whether one model is more trustworthy by it than the other, in all cells or in some.

    The agreement with the references is the question of the study, and comes first.
    """
    table = study.table("trust_contrasts")
    if table.empty:
        yield Statement("question", "question_unmeasured", Kind.CANNOT_SAY, ("none",), weight=70)
        return
    if QUESTION not in set(table["measure"]):
        yield Statement("question", "question_unmeasured", Kind.CANNOT_SAY, ("none",), weight=70)
    judged = table[table["better"] != 0]
    for (measure, part, model, minus), rows in judged.groupby(["measure", "part", "model", "minus"], sort=False, dropna=False):
        yield _contrast(str(measure), _text(part), str(model), str(minus), rows)


def _contrast(measure: str, part: str, model: str, minus: str, rows: pd.DataFrame) -> Statement:
    cells = rows.to_dict("records")
    numbers = [evidence_of(row, "trust_contrasts", "difference", "ci_low", "ci_high") for row in cells]
    better = int(rows["better"].iloc[0])
    sides = [number.side * better for number in numbers]
    n_more, n_less = sides.count(1), sides.count(-1)
    if not all(number.defined for number in numbers):
        claim, number = "undefined", next(number for number in numbers if not number.defined)
    elif n_more == len(cells) or n_less == len(cells):
        claim, number = ("more" if n_more else "less"), min(numbers, key=_nearest)
    else:
        claim = "contradiction" if n_more and n_less else "partly" if n_more or n_less else "open"
        number = min(numbers, key=_nearest)
    seeds = [one.n_seeds for one in numbers if one.n_seeds is not None]
    few = bool(seeds) and min(seeds) < FEW_SEEDS
    about = {"measure": measure, "part": part, "model": model, "minus": minus, "better": better, "n": len(cells)}
    about |= {"n_more": n_more, "n_less": n_less, "few": few, "n_seeds": min(seeds, default=None)}
    kind = Kind.FOUND if claim in ("more", "less") and not few else Kind.CANNOT_SAY
    asked = measure == QUESTION
    place, weight = (measure, part, model, minus), 10 if asked else 24
    return Statement("question" if asked else "trust", f"contrast_{claim}", kind, place, (), about, (number,), weight)


def _nearest(number: Evidence) -> float:
    """Return how far an interval stays away from 0; negative where it holds 0."""
    return max(number.low, -number.high)


def _text(part: Any) -> str:
    return "" if pd.isna(part) else str(part)


def _weight(measure: Any) -> int:
    return 11 if measure == QUESTION else 23
