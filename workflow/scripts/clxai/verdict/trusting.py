"""Rules for the trust measures: what speaks for the test on each model, and whether it speaks more for one model than another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from clxai.measures.levels import FEW_SEEDS
from clxai.verdict.records import Evidence, Kind, Statement, Study, evidence_of

QUESTION = "references"  # the measure that holds plain flipping against networks that were trained for it
MAIN_PARTS = ("srg", "srg_other_seed", "srg_other_model")  # the others of a measure that has one stand in the table alone


def trust_statements(study: Study) -> Iterable[Statement]:
    """Yield for each measure and part the models whose every cell is beyond the value of no trust, whose some is, whose none is.

    Cells are (head, units, fill). Of a measure with parts for MoRF, LeRF and SRG the last is spoken of. Measures without a value
    of no trust or without a direction stand in the table alone.
    """
    trust = study.table("trust")
    if trust.empty:
        yield Statement("trust", "no_trust", Kind.CANNOT_SAY, ("none",), weight=9)
        return
    judged = trust[trust["null"].notna() & (trust["better"] != 0) & _spoken(trust)]
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
    """Yield for each pair of models by which measures one is more trustworthy than the other, in all cells, in some, in none.

    The pairs are those of a contrastive model with another, and those of plain models with references. The agreement with the
    references is the question of the study: its statement stands alone, and comes first.
    """
    table = study.table("trust_contrasts")
    if table.empty or QUESTION not in set(table["measure"]):
        yield Statement("question", "question_unmeasured", Kind.CANNOT_SAY, ("none",), weight=70)
    if table.empty:
        return
    judged = table[(table["better"] != 0) & _spoken(table)]
    for (model, minus), rows in judged.groupby(["model", "minus"], sort=False):
        if not _compared(study, str(model), str(minus)):
            continue
        claims: dict[str, list[tuple[str, Evidence, str]]] = {}
        for (measure, part), cells in rows.groupby(["measure", "part"], sort=False, dropna=False):
            claim, number, share = _told_apart(cells)
            if measure == QUESTION:
                told = _pair_statement("question", claim, str(model), str(minus), [(_named(measure, part), number, share)])
                yield told if direction_of(study, told) else replace(told, weight=27)
            else:
                claims.setdefault(claim, []).append((_named(measure, part), number, share))
        for claim, found in claims.items():
            yield _pair_statement("trust", claim, str(model), str(minus), found)


def direction_of(study: Study, statement: Statement) -> int:
    """Return 1 where a pair asks the question of the study, a contrastive model minus another, neither a reference.

    -1 where it asks it the other way round, 0 where it does not.
    """
    pair = (statement.about["model"], statement.about["minus"])
    if set(pair) & set(study.references):
        return 0
    first, second = (name in study.contrastive for name in pair)
    return int(first) - int(second)


def _compared(study: Study, model: str, minus: str) -> bool:
    """Whether a pair is spoken of: contrastive against not, or one of them a reference."""
    return (model in study.contrastive) != (minus in study.contrastive) or bool({model, minus} & set(study.references))


def _spoken(table: pd.DataFrame) -> pd.Series:
    """Return which rows sentences are about: of a measure that has parts of SRG, these, the plain ones first; else all."""
    part, measure = table["part"].fillna("").astype(str), table["measure"]
    plain, any_srg = part.isin(MAIN_PARTS), part.str.startswith("srg")
    has_plain, has_srg = (measure.isin(set(measure[chosen])) for chosen in (plain, any_srg))
    return plain | (~has_plain & any_srg) | ~has_srg


def _pair_statement(topic: str, claim: str, model: str, minus: str, found: Sequence[tuple[str, Evidence, str]]) -> Statement:
    names, numbers, shares = zip(*found, strict=True)
    seeds = [one.n_seeds for one in numbers if one.n_seeds is not None]
    few = bool(seeds) and min(seeds) < FEW_SEEDS
    about = {"model": model, "minus": minus, "shares": dict(zip(names, shares, strict=True)), "few": few}
    about["n_seeds"] = min(seeds, default=None)
    kind = Kind.FOUND if claim in ("more", "less") and not few else Kind.CANNOT_SAY
    place = (model, minus, *(names if topic == "question" else (claim,)))
    weight = 10 if topic == "question" else 24 if claim in ("more", "less") else 34
    return Statement(topic, f"contrast_{claim}", kind, place, names, about, numbers, weight)


def _told_apart(rows: pd.DataFrame) -> tuple[str, Evidence, str]:
    """Return what the cells of a pair say of one measure, the cell nearest to 0, and in how many there is more and less trust."""
    better = int(rows["better"].iloc[0])
    numbers = [evidence_of(row, "trust_contrasts", "difference", "ci_low", "ci_high") for row in rows.to_dict("records")]
    bad = [number for number in numbers if not number.defined]
    if bad:
        return "undefined", bad[0], f"{len(bad)} of {len(numbers)}"
    sides = [number.side * better for number in numbers]
    n_more, n_less, n = sides.count(1), sides.count(-1), len(sides)
    if n in (n_more, n_less):
        claim = "more" if n_more else "less"
    else:
        claim = "contradiction" if n_more and n_less else "partly" if n_more or n_less else "open"
    return claim, min(numbers, key=_nearest), f"more in {n_more}, less in {n_less} of {n}"


def _named(measure: Any, part: Any) -> str:
    return f"{measure}, {part}" if _text(part) else str(measure)


def _nearest(number: Evidence) -> float:
    """Return how far an interval stays away from 0; negative where it holds 0."""
    return max(number.low, -number.high)


def _text(part: Any) -> str:
    return "" if pd.isna(part) else str(part)


def _weight(measure: Any) -> int:
    return 11 if measure == QUESTION else 23
