"""Rules for methods: which exceed random, which do no better than a map that explains nothing, and in what order they come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from clxai.names import REFERENCE
from clxai.verdict.records import Evidence, Kind, Statement, Study, evidence_of, setups
from clxai.verdict.standing import Cell, held

METRICS = ("srg_matched", "srg_kept")
MAIN = METRICS[0]
Row = Mapping[str, Any]


def random_statements(study: Study) -> Iterable[Statement]:
    """Yield for each method on which models it exceeds random in every cell (units, fill, head, metric), in some, in none.

    Where its interval lies below 0 in every cell it is worse than random; of a cell without an interval nothing can be said.
    """
    table = study.own(*METRICS)
    if table.empty:
        return
    for method in (name for name in study.explaining if name in set(table["method"])):
        own = table[table["method"] == method]
        cells = {
            ("", str(model)): [_excess(row) for row in rows.to_dict("records")]
            for model, rows in own.groupby("model", sort=False)
        }
        statement = held("methods", "random_held", (method,), cells, {"method": method})
        yield replace(statement, weight=60)


def _excess(row: Row) -> Cell:
    number = evidence_of(row, "summary", "excess", "excess_ci_low", "excess_ci_high")
    return Cell(number, number.low, number.high)


def control_statements(study: Study) -> Iterable[Statement]:
    """Yield which methods do no better than the best map that explains nothing, and which control that is.

    Cells are (model, head, units, fill). Where the summary has no tested excess over the best control, means are compared.
    """
    table = study.own(MAIN)
    controls = [name for name in study.blind if name != REFERENCE]
    if table.empty:
        return
    if not (table["method"].isin(controls)).any():
        yield Statement("controls", "no_control", Kind.CANNOT_SAY, ("none",), weight=31)
        return
    cells = list(_pairs_of_best(table, controls, study.explaining))
    yield from _closest(cells)
    by_method: dict[str, list[tuple[Row, Row]]] = {}
    for method, own, best in cells:
        by_method.setdefault(method, []).append((own, best))
    yield from _beaten(by_method)
    if "excess_best_low" in table:
        yield from _beyond(by_method)


def _pairs_of_best(table: pd.DataFrame, controls: Sequence[str], methods: Sequence[str]) -> Iterable[tuple[str, Row, Row]]:
    """Yield (method, its row, the row of the best control of its cell)."""
    for _, cell in table.groupby(["model", "head", "units", "fill"], sort=False):
        blind = cell[cell["method"].isin(controls) & cell["mean"].notna()]
        if blind.empty:
            continue
        best = blind.loc[blind["mean"].idxmax()].to_dict()
        for row in cell[cell["method"].isin(methods) & cell["mean"].notna()].to_dict("records"):
            yield row["method"], row, best


def _gap(own: Row, best: Row) -> float:
    return float(own["excess_best"]) if "excess_best" in own and pd.notna(own["excess_best"]) else own["mean"] - best["mean"]


def _beaten(by_method: Mapping[str, list[tuple[Row, Row]]]) -> Iterable[Statement]:
    """Yield the methods that a control equals or beats in some cell, each with its worst cell."""
    names, numbers, shares = [], [], {}
    for method, cells in by_method.items():
        lost = [pair for pair in cells if _gap(*pair) <= 0]
        if lost:
            own, best = min(lost, key=lambda pair: _gap(*pair))
            names.append(method)
            shares[method] = f"{len(lost)} of {len(cells)}"
            numbers += [_mean_of(own, f"`{method}`"), _mean_of(best, f"`{best['method']}`")]
    if names:
        about = {"shares": shares}
        yield Statement("controls", "control_beats", Kind.NOT_FOUND, ("beaten",), tuple(names), about, tuple(numbers), weight=29)
    elif by_method:
        yield Statement("controls", "control_beats_none", Kind.FOUND, ("beaten",), tuple(by_method), weight=31)


def _beyond(by_method: Mapping[str, list[tuple[Row, Row]]]) -> Iterable[Statement]:
    """Yield the methods whose excess over the best control has an interval above 0 in every cell."""
    names, numbers = [], []
    for method, cells in by_method.items():
        rows = [own for own, _ in cells]
        found = [evidence_of(row, "summary", "excess_best", "excess_best_low", "excess_best_high") for row in rows]
        if all(number.side == 1 for number in found):
            names.append(method)
            numbers.append(min(found, key=lambda number: number.low))
    claim = "beyond_control" if names else "beyond_control_none"
    kind = Kind.FOUND if names else Kind.NOT_FOUND
    yield Statement("controls", claim, kind, ("beyond",), tuple(names), {}, tuple(numbers), weight=30)


def _closest(cells: Sequence[tuple[str, Row, Row]]) -> Iterable[Statement]:
    """Yield the control that comes closest: the one that is most often the best, with its highest cell."""
    best = pd.DataFrame([row for _, _, row in cells]).drop_duplicates(["model", "head", "units", "fill"])
    if best.empty:
        return
    counts = best["method"].value_counts()
    name = str(counts.index[0])
    row = best[best["method"] == name].sort_values("mean").iloc[-1].to_dict()
    about = {"share": f"{counts.iloc[0]} of {len(best)}"}
    yield Statement("controls", "closest_control", Kind.FOUND, ("closest",), (name,), about, (_mean_of(row, f"`{name}`"),), 60)


def _mean_of(row: Row, label: str) -> Evidence:
    return evidence_of(row, "summary", "mean", "ci_low", "ci_high", label=label)


def order_statements(study: Study) -> Iterable[Statement]:
    """Yield the order of the methods by mean SRG for each (units, fill), whether it holds over them, what baselines decide."""
    table = study.own(*METRICS)
    if table.empty or len(study.explaining) < 2:
        return
    leaders = {}
    for units, fill in setups(table):
        cell = table[(table["units"] == units) & (table["fill"] == fill) & table["method"].isin(study.explaining)]
        orders = {metric: _ranked(cell[cell["metric"] == metric]) for metric in METRICS if metric in set(cell["metric"])}
        main = orders.get(MAIN)
        if main is None or main.isna().any():
            yield Statement("order", "order_undefined", Kind.CANNOT_SAY, (units, fill), about={"units": units, "fill": fill})
            continue
        leaders[units, fill] = main.index.tolist()
        about = {"units": units, "fill": fill, "shared": _shared(orders), "n_metrics": len(orders)}
        numbers = tuple(
            Evidence(
                "", mean, table="summary.csv", row=f"mean over models and heads of {', '.join(place)}", where=_columns(place)
            )
            for method, mean in main.items()
            for place in [(MAIN, units, fill, str(method))]
        )
        yield Statement("order", "order", Kind.FOUND, (units, fill), tuple(main.index), about, numbers, weight=44)
    yield from _over_setups(leaders)
    yield from _baseline(leaders, study.baselines)


def _columns(place: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(("mean over models and heads of metric", "units", "fill", "method"), place, strict=True))


def _ranked(cell: pd.DataFrame) -> pd.Series:
    """Return the mean over models and heads of each method, the highest first."""
    return cell.groupby("method", sort=False)["mean"].mean().sort_values(ascending=False, kind="stable")


def _shared(orders: Mapping[str, pd.Series]) -> int:
    """Return for how many places, from the first on, all metrics name the same method."""
    lists = [order.index.tolist() for order in orders.values()]
    for place, names in enumerate(zip(*lists, strict=True)):
        if len(set(names)) > 1:
            return place
    return len(lists[0])


def _over_setups(leaders: Mapping[tuple[str, str], Sequence[str]]) -> Iterable[Statement]:
    """Yield whether one method leads in all set-ups, where there are several."""
    if len(leaders) < 2:
        return
    first = [order[0] for order in leaders.values()]
    names = tuple(dict.fromkeys(first))
    about = {"n": len(first), "shares": {name: f"{first.count(name)} of {len(first)}" for name in names}}
    about["same_order"] = len({tuple(order) for order in leaders.values()}) == 1
    claim, kind = ("leader_same", Kind.FOUND) if len(names) == 1 else ("leader_changes", Kind.NOT_FOUND)
    yield Statement("order", claim, kind, ("set-ups",), names, about, weight=45)


def _baseline(leaders: Mapping[tuple[str, str], Sequence[str]], baselines: Mapping[str, Sequence[str]]) -> Iterable[Statement]:
    """Yield where methods whose baseline is the fill stand, against where they stand under other fills."""
    for method, fills in baselines.items():
        places = {setup: order.index(method) + 1 for setup, order in leaders.items() if method in order}
        own = [place for (_, fill), place in places.items() if fill in fills]
        other = [place for (_, fill), place in places.items() if fill not in fills]
        about = {"baseline": ", ".join(fills), "own": own, "other": other}
        if own and other:
            better = max(own) < min(other)
            claim, kind = ("baseline_decides", Kind.FOUND) if better else ("baseline_mixed", Kind.NOT_FOUND)
            yield Statement("baseline", claim, kind, (method,), (method,), about, weight=32 if better else 60)
        elif own and min(own) == 1:
            yield Statement("baseline", "baseline_confounded", Kind.CANNOT_SAY, (method,), (method,), about, weight=32)
