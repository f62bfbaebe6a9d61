"""Rules for the trust measures: what speaks for the test on each model, and whether the routes agree about declared pairs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from clxai.measures.levels import FEW_SEEDS
from clxai.verdict.differences import TRUST_ROUTES as ROUTES  # scores: above 0 they say nothing of the test
from clxai.verdict.records import Kind, Statement, Study, evidence_of
from clxai.verdict.standing import Cell, held

QUESTION = "references"  # the measure that holds plain flipping against networks that were trained for it
# The others of a measure that has one of these stand in the table alone.
N_PLAIN = 4  # routes that every study has, of matched and kept SRG and their excess: one more is NAOPC
MAIN_PARTS = ("srg", "srg_halves", "srg_other_seed", "srg_other_model")
_WEIGHTS = {QUESTION: 33, "agreement": 34, "reliability": 35, "replication": 36}


def trust_statements(study: Study) -> Iterable[Statement]:
    """Yield for each measure on which models it is beyond the value of no trust in every cell, in some, in none.

    Cells are (head, units, fill). Of a measure with parts for MoRF, LeRF and SRG the last is spoken of. Measures without a value
    of no trust or without a direction stand in the table alone.
    """
    trust = study.table("trust")
    if trust.empty:
        yield Statement("trust", "no_trust", Kind.CANNOT_SAY, ("none",), weight=9)
        return
    judged = trust[trust["null"].notna() & (trust["better"] != 0) & (trust["measure"] != ROUTES) & spoken(trust)]
    for measure, rows in judged.groupby("measure", sort=False):
        cells: dict[tuple[str, str], list[Cell]] = {}
        for part, own in rows.groupby("part", sort=False, dropna=False):
            for model in (name for name in study.models if name in set(own["model"])):
                cells[text(part), model] = [_cell(row) for row in own[own["model"] == model].to_dict("records")]
        about = {"measure": str(measure), "null": float(rows["null"].iloc[0]), "better": int(rows["better"].iloc[0])}
        statement = held("trust", "trust_held", (str(measure),), cells, about)
        yield replace(statement, weight=_WEIGHTS.get(str(measure), 60))


def _cell(row: Mapping[str, Any]) -> Cell:
    """Return a number and the ends of its interval seen from the value of no trust, positive where there is more trust."""
    number = evidence_of(row, "trust", "value", "ci_low", "ci_high")
    return Cell(number, *sorted((end - row["null"]) * row["better"] for end in (number.low, number.high)))


def spoken(table: pd.DataFrame) -> pd.Series:
    """Return which rows sentences are about: of a measure that has parts of SRG, these, the plain ones first; else all."""
    part, measure = table["part"].fillna("").astype(str), table["measure"]
    plain, any_srg = part.isin(MAIN_PARTS), part.str.startswith("srg")
    has_plain, has_srg = (measure.isin(set(measure[chosen])) for chosen in (plain, any_srg))
    return plain | (~has_plain & any_srg) | ~has_srg


def text(part: Any) -> str:
    """Return a part as text, empty where there is none."""
    return "" if pd.isna(part) else str(part)


def left_out_statements(study: Study) -> Iterable[Statement]:
    """Yield for each trust measure that the study cannot have what it lacks."""
    for row in study.table("trust_left_out").to_dict("records"):
        about = {name: row[name] for name in ("measure", "needs", "reason")}
        yield Statement("trust", "trust_left_out", Kind.CANNOT_SAY, (row["measure"], "left out"), (), about, weight=61)


def route_statements(study: Study) -> Iterable[Statement]:
    """Yield for the declared pairs whether the routes by which they can be compared agree, in how many cells (head, units, fill).

    Found only if they agree on one side in every cell of every pair, NAOPC is one of them in some cell of each (it needs the best
    and the worst order, which a study searches for some units and fills alone), and there are trainings enough.
    """
    claims = study.table("trust_claims")
    if claims.empty:
        return
    pairs = claims.groupby(["model", "minus"], sort=False)
    counts = {pair: rows["claim"].value_counts(sort=False).to_dict() for pair, rows in pairs if pair in study.declared}
    if not counts:
        return
    names = {f"{model} {minus} {'/'.join(sorted(found))}": (model, minus) for (model, minus), found in counts.items()}
    searched = {pair: int((rows["n_routes"] > N_PLAIN).sum()) for pair, rows in pairs if pair in counts}
    few = study.n_trainings < FEW_SEEDS
    alike = all(set(found) in ({"higher"}, {"lower"}) for found in counts.values())
    about = {"pairs": names, "counts": {name: counts[pair] for name, pair in names.items()}, "few": few}
    about["searched"] = {name: searched[pair] for name, pair in names.items()}
    about["source"] = "trust_claims.csv: rows of the declared pairs, counted by claim"
    kind = Kind.FOUND if alike and not few and all(searched.values()) else Kind.CANNOT_SAY
    yield Statement("trust", "routes_agree", kind, (ROUTES,), tuple(names), about, weight=62)
