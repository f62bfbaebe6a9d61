"""Rules for the instrument itself: self-checks, random attribution, known truth, and how much the study can carry."""

from collections.abc import Iterable

import pandas as pd

from clxai.measures.levels import FEW_SEEDS
from clxai.names import REFERENCE
from clxai.verdict.ranking import MAIN, METRICS
from clxai.verdict.records import Evidence, Kind, Statement, Study, evidence_of

ENDS = ("srg_matched_low", "srg_matched_high")  # at the ends of the temperatures' intervals


def check_statements(study: Study) -> Iterable[Statement]:
    """Yield how many self-checks passed, and which warn."""
    checks = study.table("checks")
    if checks.empty:
        yield Statement("instrument", "no_checks", Kind.CANNOT_SAY, ("checks",), weight=5)
        return
    bad = checks[checks["result"] != "pass"]
    about = {"n": len(checks), "n_bad": len(bad)}
    if bad.empty:
        yield Statement("instrument", "checks_pass", Kind.FOUND, ("checks",), (), about, weight=60)
        return
    names, numbers = [], []
    for setting, rows in bad.groupby("setting", sort=False):
        names.append(f"{setting} ({len(rows)} of {(checks['setting'] == setting).sum()})")
        numbers.append(evidence_of(rows.iloc[0].to_dict(), "checks", "value"))
    yield Statement("instrument", "checks_warn", Kind.CANNOT_SAY, ("checks",), tuple(names), about, tuple(numbers), weight=5)


def accuracy_statements(study: Study) -> Iterable[Statement]:
    """Yield the lowest test accuracy of any model, seed and head."""
    heads = study.table("heads")
    if heads.empty:
        return
    test = heads[heads["split"] == "test"] if "split" in heads else heads
    if test["accuracy"].isna().any():
        yield Statement("instrument", "accuracy_undefined", Kind.CANNOT_SAY, ("accuracy",), weight=61)
        return
    worst = test.loc[test["accuracy"].idxmin()]
    numbers = (evidence_of(worst.to_dict(), "heads", "accuracy"),)
    about = {name: worst[name] for name in ("model", "seed", "head")}
    yield Statement("instrument", "accuracy", Kind.FOUND, ("accuracy",), (), about, numbers, weight=61)


def reference_statements(study: Study) -> Iterable[Statement]:
    """Yield in how many cells the interval of the random attribution holds 0."""
    table = study.own(*METRICS)
    if table.empty:
        return
    cells = table[table["method"] == REFERENCE].to_dict("records")
    numbers = [evidence_of(row, "summary", "mean", "ci_low", "ci_high") for row in cells]
    if not numbers:
        return
    n_defined = sum(number.defined for number in numbers)
    about = {"n": len(numbers), "n_holds": sum(number.defined and number.side == 0 for number in numbers)}
    about["n_undefined"] = len(numbers) - n_defined
    widest = sorted((number for number in numbers if number.defined), key=lambda number: abs(number.value))[-1:]
    kind = Kind.FOUND if n_defined else Kind.CANNOT_SAY
    yield Statement("instrument", "random_holds", kind, ("random",), (), about, tuple(widest), weight=62)


def temperature_statements(study: Study) -> Iterable[Statement]:
    """Yield how far any mean of matched SRG moves between the ends of its temperature's interval."""
    table = study.own(MAIN, *ENDS)
    if table.empty or not set(ENDS) <= set(table["metric"]):
        return
    means = table.pivot_table(index=["model", "units", "method", "head", "fill"], columns="metric", values="mean")
    moved = means[list(ENDS)].sub(means[MAIN], axis=0).abs().max(axis=1)
    if moved.notna().any():
        place = ", ".join((*map(str, moved.idxmax()), f"{MAIN} against its ends"))
        columns = (*means.index.names, "metric")
        where = tuple(zip(columns, (*map(str, moved.idxmax()), f"{MAIN} against its ends"), strict=True))
        numbers = (Evidence("", float(moved.max()), table="summary.csv", row=place, where=where),)
        yield Statement("instrument", "temperature", Kind.FOUND, ("temperature",), (), {}, numbers, weight=64)


def oracle_statements(study: Study) -> Iterable[Statement]:
    """Yield whether the known truth beats every method and blind map in each cell (model, head, units, fill), or the test failed.

    Controls that are made of other maps, or of the network's own scores, are not compared with it.
    """
    table = study.own(MAIN)
    if table.empty:
        return
    known = [name for name in study.oracles if name in set(table["method"])]
    if not known:
        yield Statement("oracle", "no_oracle", Kind.CANNOT_SAY, ("none",), weight=60)
        return
    for oracle in known:
        yield from _against_oracle(table, oracle, [*study.blind, *study.explaining])


def _against_oracle(table: pd.DataFrame, oracle: str, others: Iterable[str]) -> Iterable[Statement]:
    names, numbers, shares, n_cells = [], [], {}, 0
    truth = table[table["method"] == oracle].set_index(["model", "head", "units", "fill"])
    for method in others:
        rows = table[table["method"] == method].to_dict("records")
        pairs = [(row, truth.loc[(row["model"], row["head"], row["units"], row["fill"])]) for row in rows]
        n_cells += len(pairs)
        lost = [(row, best) for row, best in pairs if not row["mean"] < best["mean"]]  # undefined counts as lost
        if lost:
            row, best = max(lost, key=lambda pair: _margin(pair[0]["mean"] - pair[1]["mean"]))
            names.append(method)
            shares[method] = f"{len(lost)} of {len(pairs)}"
            place = dict(zip(truth.index.names, best.name, strict=True))
            numbers += [_mean_of(row, method), _mean_of({**best.to_dict(), **place, "method": oracle}, oracle)]
    about = {"oracle": oracle, "shares": shares, "n": n_cells}
    if names:
        yield Statement("oracle", "oracle_beaten", Kind.CANNOT_SAY, (oracle,), tuple(names), about, tuple(numbers), weight=1)
    else:
        yield Statement("oracle", "oracle_wins", Kind.FOUND, (oracle,), (), about, weight=28)


def _margin(gap: float) -> float:
    return float("inf") if pd.isna(gap) else gap


def _mean_of(row: dict, name: str) -> Evidence:
    return evidence_of(row, "summary", "mean", "ci_low", "ci_high", label=f"`{name}`")


def size_statements(study: Study) -> Iterable[Statement]:
    """Yield what the number of trainings and models does not allow to conclude."""
    n_seeds = study.n_trainings
    if 0 < n_seeds < FEW_SEEDS:
        claim, weight = ("one_seed", 40) if n_seeds == 1 else ("few_seeds", 60)
        yield Statement("size", claim, Kind.CANNOT_SAY, ("seeds",), (), {"n": n_seeds, "least": FEW_SEEDS}, weight=weight)
    if len(study.models) == 1:
        yield Statement("size", "one_model", Kind.CANNOT_SAY, ("models",), tuple(study.models), weight=3)
    if not study.references:
        yield Statement("size", "no_reference", Kind.CANNOT_SAY, ("references",), weight=41)


def variance_statements(study: Study) -> Iterable[Statement]:
    """Yield what share of the variance of one value belongs to seeds and to images, as the mean over cells."""
    table = study.table("variance")
    if table.empty:
        return
    rows = table[(table["metric"] == MAIN) & table["method"].isin(study.explaining)]
    shares = rows[["seed_share", "image_share", "residual_share"]].dropna()
    if shares.empty:
        yield Statement("instrument", "variance_undefined", Kind.CANNOT_SAY, ("variance",), weight=63)
        return
    place = f"mean over {len(shares)} rows of {MAIN}"
    numbers = tuple(
        Evidence(label, float(shares[column].mean()), table="variance.csv", row=place)
        for column, label in (("seed_share", "trainings"), ("image_share", "images"), ("residual_share", "neither"))
    )
    yield Statement("instrument", "variance", Kind.FOUND, ("variance",), (), {"n": len(shares)}, numbers, weight=63)
