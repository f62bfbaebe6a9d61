"""Statements: what the numbers of a study allow to say, as small typed records without a word of prose.

A rule reads tables and returns statements; `wording` turns each into one sentence; `page` puts them in order. A statement names
its claim, says whether that was found, was not found or cannot be said, and carries the numbers on which it rests, each with the
table and the row in which it stands.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite
from typing import Any

import pandas as pd

from clxai.measures.levels import CONFIRMATORY
from clxai.names import ALL

TABLES = (
    "summary",
    "contrasts",
    "variance",
    "heads",
    "models",
    "checks",
    "trust",
    "trust_contrasts",
    "trust_claims",
    "trust_left_out",
)
_PLACE = ("model", "seed", "minus", "quantity", "metric", "measure", "part", "units", "fill", "method", "head", "split", "check")


class Kind(StrEnum):
    """What became of a claim: the heading below which its sentence stands."""

    FOUND = "found"
    NOT_FOUND = "not found"
    CANNOT_SAY = "cannot say"


@dataclass(frozen=True)
class Evidence:
    """A number of a table with its interval (None: it has none), what it counts over, and where it stands."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    n_seeds: int | None = None
    n_images: int | None = None
    table: str = ""
    row: str = ""
    where: tuple[tuple[str, str], ...] = ()  # the row by column, where it is one
    run: str = ""  # which of several runs, such as the kind of CPU; empty for one

    @property
    def defined(self) -> bool:
        """Whether the number and the ends of its interval, if it has one, are finite."""
        return all(isfinite(number) for number in (self.value, self.low, self.high) if number is not None)

    @property
    def side(self) -> int:
        """1 where the whole interval is above 0, -1 where it is below, else 0; 0 where anything is undefined."""
        if not self.defined or self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Statement:
    """A claim, what became of it, whom it is about, and its numbers.

    `topic` is the part of the page that it belongs to and `place` what it is about within it, whatever it says: two runs of one
    study are compared by both. `names` are those that share the claim, each with as many of the numbers as any other. `about`
    holds what else the sentence needs. `weight` is its place among the answers: the lowest comes first.
    """

    topic: str
    claim: str
    kind: Kind
    place: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    weight: int = 50

    def numbers_of(self, name: str) -> tuple[Evidence, ...]:
        """Return the numbers of one of the names."""
        each = len(self.evidence) // len(self.names)
        start = each * self.names.index(name)
        return self.evidence[start : start + each]


@dataclass(frozen=True)
class Study:
    """What the rules are told: the design by name, and the tables that there are.

    `controls` explain nothing (the random attribution among them), those that are `blind` never saw the network, `oracles` know
    the truth. `references` are models that were trained on perturbed images, `contrastive` are those without a classifier of
    their own. `not_tested` are declared pairs of which the study leaves out a model. `units` and `fill` are the first ones, which
    tables show. `baselines` gives the fills of the study that are the baseline of each method that has one.
    """

    models: Sequence[str]
    methods: Sequence[str]
    controls: Sequence[str] = ()
    blind: Sequence[str] = ()
    oracles: Sequence[str] = ()
    references: Sequence[str] = ()
    not_tested: Sequence[Sequence[str]] = ()
    contrastive: Sequence[str] = ()
    baselines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    name: str = ""
    dataset: str = ""
    units: str = ""
    fill: str = ""

    def table(self, name: str) -> pd.DataFrame:
        """Return a table; an empty one where the study has none."""
        return self.tables.get(name, pd.DataFrame())

    @property
    def explaining(self) -> list[str]:
        """The methods that are to explain: neither controls nor oracles."""
        return [name for name in self.methods if name not in (*self.controls, *self.oracles)]

    @property
    def declared(self) -> list[tuple[str, str]]:
        """The pairs (model, minus) of the contrasts that were declared before the study ran."""
        contrasts = self.table("contrasts")
        if "family" not in contrasts:
            return []
        rows = contrasts[contrasts["family"] == CONFIRMATORY]
        return list(dict.fromkeys(zip(rows["model"].astype(str), rows["minus"].astype(str), strict=True)))

    @property
    def n_trainings(self) -> int:
        """The number of trainings of the model that has the fewest; 0 where it is not known."""
        models = self.table("models")
        return 0 if models.empty else int(models.groupby("model")["seed"].nunique().min())

    def own(self, *metrics: str) -> pd.DataFrame:
        """Return the rows of these metrics in the summary for heads scored by themselves, with the head as column `head`."""
        summary = self.table("summary")
        if summary.empty:
            return summary
        chosen = summary["metric"].isin(metrics) & (summary["explained_by"] == summary["scored_by"])
        return summary[chosen].rename(columns={"scored_by": "head"})


def evidence_of(
    row: Mapping[str, Any], table: str, value: str, low: str | None = None, high: str | None = None, label: str = ""
) -> Evidence:
    """Return a number of a table's row; `value`, `low` and `high` name its columns."""
    where = tuple((name, str(row[name])) for name in _PLACE if name in row and not pd.isna(row[name]))
    place = ", ".join(value for _, value in where)
    counts = {name: _count(row.get(name)) for name in ("n_seeds", "n_images")}
    ends = (None, None) if low is None or high is None else (float(row[low]), float(row[high]))
    return Evidence(label, float(row[value]), *ends, table=f"{table}.csv", row=place, where=where, **counts)


def _count(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def setups(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the (units, fill) that a table holds, in its order, without those over which it runs."""
    if table.empty:
        return []
    pairs = table[["units", "fill"]].drop_duplicates().itertuples(index=False)
    return [(units, fill) for units, fill in pairs if ALL not in (units, fill)]


def of_run(statements: Iterable[Statement], run: str) -> list[Statement]:
    """Return the statements with the name of a run at each of their numbers."""
    return [replace(one, evidence=tuple(replace(number, run=run) for number in one.evidence)) for one in statements]
