"""Rules for differences between models: one is claimed only where all routes that do without confidence agree.

A route is a way to compare models whose confidences differ: SRG at the fitted temperature, at both ends of the temperature's
interval, and of kept predictions; for set-ups whose best and worst order the study has searched, NAOPC as well, on the head that
says it least. A small p-value on one of them is no difference, and a large one is no equality.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import pandas as pd

from clxai.measures.levels import ALPHA, CONFIRMATORY, FEW_SEEDS
from clxai.names import ALL
from clxai.verdict.records import Evidence, Kind, Statement, Study, evidence_of, setups

ROUTES = {  # by metric, as a sentence calls them
    "srg_matched": "matched",
    "srg_matched_low": "matched at the lowest temperature",
    "srg_matched_high": "matched at the highest temperature",
    "srg_kept": "kept",
}
MAIN, TRUST_ROUTES = "srg_matched", "routes"  # the route whose test counts, and the trust measure of routes
NAOPC = "naopc"  # a part of the trust measure of routes, of each head apart
OPEN = ("contradiction", "undecided")
_CELL = ["model", "minus", "quantity", "units", "fill", "method", "head"]
_KINDS = {
    "higher": Kind.FOUND,
    "lower": Kind.FOUND,
    "noninferior": Kind.FOUND,
    "equivalent": Kind.NOT_FOUND,  # a difference as large as the margin was looked for and is excluded
    "contradiction": Kind.CANNOT_SAY,
    "undecided": Kind.CANNOT_SAY,
    "undefined": Kind.CANNOT_SAY,
    "route_missing": Kind.CANNOT_SAY,
}

Row = Mapping[str, Any]


def difference_statements(study: Study) -> Iterable[Statement]:
    """Yield a statement for each difference that was declared, and for each pair of models what its set-ups say.

    With one set-up (units, fill) that is the mean over methods and heads; with several, how many of these say what, all of them
    exploratory but the declared ones. Where pairs were declared, the other ones are left to the table.
    """
    contrasts = study.table("contrasts")
    if contrasts.empty:
        yield Statement("differences", "no_pair", Kind.CANNOT_SAY, weight=22)
        return
    cells = _with_naopc(_cells(contrasts), study.table("trust_contrasts"))
    asked = [row for row in _tested(contrasts) if not study.declared or (row["model"], row["minus"]) in study.declared]
    found = [(_statement(row, cells[_cell(row)]), cells[_cell(row)]) for row in asked]
    several = len(setups(contrasts)) > 1
    for statement, routes in found:
        if statement.about["confirmatory"] or not several:
            yield statement
            yield from _not_worse(study, statement, routes)
    yield from _over_setups([statement for statement, _ in found])


def needed_statements(study: Study) -> Iterable[Statement]:
    """Yield what the declared contrasts that stay open can show by design, and how many trainings the margin would need."""
    found = [one for one in difference_statements(study) if one.claim in OPEN and one.about["confirmatory"]]
    names, numbers, seeds = [], [], {}
    for one in found:
        shown, needed = one.about["detectable"], one.about["seeds_needed"]
        if shown is None or not isfinite(shown):
            continue
        names.append(pair_of(one))
        numbers.append(replace(one.evidence[0], label="", value=float(shown), low=None, high=None))
        seeds[names[-1]] = int(needed) if needed is not None and isfinite(needed) else None
    if names:
        about = {"seeds": seeds, "margin": found[0].about["margin"], "n_seeds": found[0].about["n_seeds"]}
        yield Statement("size", "needed", Kind.CANNOT_SAY, ("needed",), tuple(names), about, tuple(numbers), weight=39)


def pair_of(statement: Statement) -> str:
    """Return the pair of a statement, as sentences write it; with method and head where it is of one."""
    about = statement.about
    of = ", ".join(about[name] for name in ("method", "head") if about.get(name, ALL) != ALL)
    pair = f"`{about['model']}` - `{about['minus']}`"
    return f"{pair} ({of})" if of else pair


def single_statements(study: Study) -> Iterable[Statement]:
    """Yield the methods for which two models differ in every set-up, mean over heads, by corrected test and on every route.

    They are named with the direction, as in `lrp (supcon above ce)`.
    """
    contrasts = study.table("contrasts")
    if contrasts.empty:
        return
    single: dict[tuple[str, ...], list[dict[str, Row]]] = {}
    for routes in _cells(contrasts[contrasts["method"] != ALL]).values():
        row = next(iter(routes.values()))
        if (row["head"], row["quantity"]) == (ALL, "value"):
            single.setdefault((row["model"], row["minus"], row["method"]), []).append(routes)
    names, numbers = [], []
    for (model, minus, method), cells in single.items():
        claims = {claim_of(routes) for routes in cells}
        if claims in ({"higher"}, {"lower"}) and min(routes[MAIN]["n_seeds"] for routes in cells) >= FEW_SEEDS:
            names.append(f"{method} ({model} {'above' if claims == {'higher'} else 'below'} {minus})")
            numbers.append(min((_evidence(MAIN, routes[MAIN]) for routes in cells), key=lambda one: abs(one.value)))
    claim, kind = ("single", Kind.FOUND) if names else ("single_none", Kind.NOT_FOUND)
    if single:
        yield Statement("differences", claim, kind, ("single methods",), tuple(names), {}, tuple(numbers), weight=60)


def claim_of(routes: Mapping[str, Row], main: str = MAIN) -> str:
    """Say what the routes of one difference allow to say together; `main` is the metric whose test counts.

    `higher`, `lower`: the corrected p of the main route is below alpha and every route's interval is on that side of 0.
    `equivalent`: on every route both one-sided tests against the margin reject; NAOPC, which is of another scale, needs an
    interval with 0 inside. `contradiction`: an interval of some route
    excludes 0, or the main test rejects, and the routes do not agree. `undefined`: a number is missing. Else `undecided`.
    """
    if not {main, *ROUTES} <= set(routes):
        return "route_missing"
    routes = {metric: routes[metric] for metric in (main, *ROUTES, NAOPC) if metric in routes}
    numbers = [_evidence(metric, row) for metric, row in routes.items()]
    if not all(number.defined for number in numbers) or pd.isna(routes[main]["p_holm"]):
        return "undefined"
    sides, sure = {number.side for number in numbers}, routes[main]["p_holm"] < ALPHA
    if sure and sides in ({1}, {-1}):
        return "higher" if sides == {1} else "lower"
    same_naopc = NAOPC not in routes or _evidence(NAOPC, routes[NAOPC]).side == 0
    if same_naopc and all(bool(row["equivalent"]) for metric, row in routes.items() if metric != NAOPC):
        return "equivalent"
    return "contradiction" if sure or len(sides) > 1 else "undecided"


def _tested(contrasts: pd.DataFrame) -> list[Row]:
    """Return the rows that are judged: the confirmatory ones first, then the averages of the other set-ups."""
    averaged = (contrasts["method"] == ALL) & (contrasts["head"] == ALL) & (contrasts["quantity"] == "value")
    averaged &= contrasts["metric"] == MAIN
    declared = contrasts["family"] == CONFIRMATORY if "family" in contrasts else averaged & False
    return [*contrasts[declared].to_dict("records"), *contrasts[averaged & ~declared].to_dict("records")]


def _cells(contrasts: pd.DataFrame) -> dict[tuple[str, ...], dict[str, Row]]:
    """Return by cell (pair, quantity, units, fill, method, head) its rows by metric: means over heads, and what was declared."""
    wanted = (contrasts["quantity"] == "value") & (contrasts["head"] == ALL)
    if "family" in contrasts:
        places = pd.MultiIndex.from_frame(contrasts[_CELL])
        wanted |= places.isin(places[contrasts["family"] == CONFIRMATORY])
    cells: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in contrasts[wanted].to_dict("records"):
        cells.setdefault(_cell(row), {})[row["metric"]] = row
    return cells


def _with_naopc(cells: Mapping[tuple[str, ...], dict[str, Row]], trust_contrasts: pd.DataFrame) -> dict:
    """Return the cells, those of means over methods with NAOPC where it was measured: of their head, or the one of all that
    speaks least for the sign of the main route.
    """
    if trust_contrasts.empty:
        return dict(cells)
    rows = trust_contrasts[(trust_contrasts["measure"] == TRUST_ROUTES) & (trust_contrasts["part"] == NAOPC)]
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows.to_dict("records"):
        found.setdefault(tuple(str(row[name]) for name in ("model", "minus", "units", "fill")), []).append(row)
    told = {}
    for place, routes in cells.items():
        model, minus, quantity, units, fill, method, head = place
        own = [row for row in found.get((model, minus, units, fill), []) if head in (ALL, row["head"])]
        averaged = (quantity, method) == ("value", ALL) and MAIN in routes and own
        told[place] = {**routes, NAOPC: _least(own, routes[MAIN]["difference"])} if averaged else routes
    return told


def _least(rows: Sequence[Row], difference: float) -> Row:
    """Return the row that speaks least for the sign of a difference; one that is not defined, if there is such."""
    undefined = [row for row in rows if not _evidence(NAOPC, row).defined]
    return undefined[0] if undefined else min(rows, key=lambda row: row["ci_low"] if difference > 0 else -row["ci_high"])


def _cell(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in _CELL)


def _evidence(metric: str, row: Row) -> Evidence:
    columns = ("difference", "ci_low", "ci_high")
    if metric == NAOPC:
        return evidence_of(row, "trust_contrasts", *columns, label="NAOPC")
    return evidence_of(row, "contrasts", *columns, label=ROUTES.get(metric, metric))


def _statement(row: Row, cell: Mapping[str, Row]) -> Statement:
    routes = {metric: cell[metric] for metric in dict.fromkeys([row["metric"], *ROUTES, NAOPC]) if metric in cell}
    claim, confirmatory = claim_of(routes, row["metric"]), row.get("family") == CONFIRMATORY
    few = row["n_seeds"] < FEW_SEEDS
    kind = Kind.CANNOT_SAY if few else _KINDS[claim]
    about = {name: row.get(name) for name in (*_CELL, "metric", "p_holm", "margin", "n_seeds", "seeds_needed", "detectable")}
    about |= {"few": few, "confirmatory": confirmatory, "missing": [name for name in ROUTES if name not in routes]}
    about["within"] = bool(row.get("equivalent", False))
    numbers = tuple(_evidence(metric, route) for metric, route in routes.items())
    return Statement("differences", claim, kind, _place(row), (), about, numbers, weight=20 if confirmatory else 25)


def _place(row: Row) -> tuple[str, ...]:
    return (*_cell(row), str(row["metric"]))


def _not_worse(study: Study, statement: Statement, routes: Mapping[str, Row]) -> Iterable[Statement]:
    """Yield whether the first model is not worse than a reference by the margin, where that was to be tested."""
    about = statement.about
    asked = about["confirmatory"] and "p_noninferior_holm" in routes[about["metric"]]
    if not asked or statement.claim in ("higher", "equivalent", "undefined", "route_missing"):
        return
    corrected = routes[about["metric"]]["p_noninferior_holm"]
    sure = bool(corrected < ALPHA) and all(bool(routes[metric]["noninferior"]) for metric in ROUTES if metric in routes)
    sure &= NAOPC not in routes or _evidence(NAOPC, routes[NAOPC]).side >= 0
    if not sure and about["minus"] not in study.references:
        return
    claim = "noninferior" if sure else "noninferiority_open"
    kind = Kind.FOUND if sure and not about["few"] else Kind.CANNOT_SAY
    told = {**about, "p_holm": corrected}
    yield Statement("differences", claim, kind, (*statement.place, "not worse"), (), told, statement.evidence, weight=21)


def _over_setups(found: Iterable[Statement]) -> Iterable[Statement]:
    """Yield for each pair how many of its set-ups say what, where there are several."""
    pairs: dict[tuple[str, str], list[Statement]] = {}
    for one in found:
        if (one.about["method"], one.about["head"], one.about["quantity"]) == (ALL, ALL, "value"):
            pairs.setdefault((one.about["model"], one.about["minus"]), []).append(one)
    for (model, minus), cells in pairs.items():
        if len({(one.about["units"], one.about["fill"]) for one in cells}) < 2:
            continue
        counts = {claim: sum(one.claim == claim for one in cells) for claim in dict.fromkeys(one.claim for one in cells)}
        alike = len(counts) == 1 and set(counts) <= {"higher", "lower", "equivalent"}
        kinds = {one.kind for one in cells}
        kind = kinds.pop() if alike and len(kinds) == 1 else Kind.CANNOT_SAY
        about = {"model": model, "minus": minus, "counts": counts, "n": len(cells), "few": any(one.about["few"] for one in cells)}
        ends = sorted((one.evidence[0] for one in cells if one.evidence and one.evidence[0].defined), key=lambda one: one.value)
        numbers = tuple(ends[:1] + ends[-1:])
        yield Statement("differences", "over_setups", kind, (model, minus, "set-ups"), (), about, numbers, weight=60)
