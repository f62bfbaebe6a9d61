"""Rules for differences of trust measures between models: the question of the study, and all measures of the declared pairs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from clxai.measures.levels import FEW_SEEDS
from clxai.verdict.records import Evidence, Kind, Statement, Study, evidence_of
from clxai.verdict.trusting import QUESTION, ROUTES, spoken, text


def question_statements(study: Study) -> Iterable[Statement]:
    """Yield for each pair that asks the question whether the agreement with the references differs, in all cells, some, none."""
    for (model, minus), rows in _judged(study, only=QUESTION):
        if _direction(study, model, minus) == 0:
            continue
        for part, cells in rows.groupby("part", sort=False, dropna=False):
            claim, number, share = _told_apart(cells)
            name = f"{QUESTION}, {text(part)}" if text(part) else QUESTION
            few, seeds = _few([number])
            about = {"model": model, "minus": minus, "part": text(part), "shares": {name: share}, "few": few, "n_seeds": seeds}
            kind = Kind.FOUND if claim in ("more", "less") and not few else Kind.CANNOT_SAY
            yield Statement("question", f"contrast_{claim}", kind, (model, minus, name), (name,), about, (number,), weight=10)


def pair_statements(study: Study) -> Iterable[Statement]:
    """Yield for each declared pair by which measures one is more trustworthy in every cell, and how many say less than that."""
    for (model, minus), rows in _judged(study):
        if not {(model, minus), (minus, model)} & set(study.declared):
            continue
        counts = dict.fromkeys(("more", "less", "partly", "open", "contradiction", "undefined"), 0)
        found: dict[str, tuple[Any, Evidence]] = {}
        every = []
        for (measure, part), cells in rows.groupby(["measure", "part"], sort=False, dropna=False):
            claim, number, _ = _told_apart(cells)
            counts[claim] += 1
            every.append(number)
            if claim in ("more", "less"):
                found[f"{measure} {text(part)} {claim}"] = ((str(measure), text(part), claim), number)
        yield _pair(model, minus, counts, found, every)


def _pair(
    model: str, minus: str, counts: Mapping[str, int], found: Mapping[str, tuple[Any, Evidence]], every: Sequence[Evidence]
) -> Statement:
    few, seeds = _few(every)
    about = {"model": model, "minus": minus, "counts": counts, "n": sum(counts.values()), "few": few, "n_seeds": seeds}
    about["measures"] = {name: what for name, (what, _) in found.items()}
    about["source"] = "trust_contrasts.csv: all measures and cells of the pairs that are named"
    kind = Kind.FOUND if found and not few else Kind.CANNOT_SAY
    numbers = tuple(number for _, number in found.values())
    weight = 25 if kind == Kind.FOUND else 63
    return Statement("comparison", "trust_pair", kind, (model, minus), tuple(found), about, numbers, weight)


def direction_of(study: Study, statement: Statement) -> int:
    """Return 1 where a pair asks the question of the study, a contrastive model minus another, neither a reference.

    -1 where it asks it the other way round, 0 where it does not.
    """
    return _direction(study, statement.about["model"], statement.about["minus"])


def _direction(study: Study, model: str, minus: str) -> int:
    if {model, minus} & set(study.references):
        return 0
    return int(model in study.contrastive) - int(minus in study.contrastive)


def _judged(study: Study, only: str = "") -> Iterable[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield by pair the rows that have a direction of more trust, of one measure or of all but the scores themselves."""
    table = study.table("trust_contrasts")
    if table.empty:
        return
    chosen = (table["measure"] == only) if only else (table["measure"] != ROUTES)
    for (model, minus), rows in table[(table["better"] != 0) & spoken(table) & chosen].groupby(["model", "minus"], sort=False):
        yield (str(model), str(minus)), rows


def _few(numbers: Sequence[Evidence]) -> tuple[bool, int | None]:
    """Return whether the numbers are of too few trainings for a claim about recipes, and of how many."""
    seeds = [one.n_seeds for one in numbers if one.n_seeds is not None]
    return bool(seeds) and min(seeds) < FEW_SEEDS, min(seeds, default=None)


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


def _nearest(number: Evidence) -> float:
    """Return how far an interval stays away from 0; negative where it holds 0."""
    return max(number.low, -number.high)
