"""Whether two studies found the same: which numbers are equal, which moved, and whether their intervals agree.

Numbers are matched by the names of their rows. Two intervals agree where they share a point. Of independent repetitions of one
study 0.6 % of the pairs of 95 % intervals share none (two normal means of equal width: P(|z| > 2.77)), so up to 1 % is taken for
chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from clxai.exchange.tables import NAMES, tidy
from clxai.measures.levels import EXPLORATORY

CHANCE = 0.01  # the share of numbers whose intervals may share no point
EQUAL, AGREE, DIFFER = "equal", "agree", "differ"
STATES = (EQUAL, AGREE, DIFFER, "moved", "only in A", "only in B")  # moved: numbers and words without an interval
# What a study says, by table, but for what it explored: where such a word is another one, the studies do not say the same.
CONCLUSIONS = {"contrasts": ("equivalent", "noninferior"), "trust_claims": ("claim",), "checks": ("result",)}


@dataclass(frozen=True)
class Comparison:
    """All numbers of two studies, one row each: its names, `_a` and `_b` of value, low, high and text, and its `state`.

    `moved_by` is B minus A, `within` whether each value lies in the interval of the other.
    """

    rows: pd.DataFrame

    @property
    def verdict(self) -> str:
        """`equal`: each number is on both sides and the same; `agree`: same rows and conclusions, intervals meet; `differ`."""
        counts = self.rows["state"].value_counts()
        if counts.get(EQUAL, 0) == len(self.rows):
            return EQUAL
        one_sided = counts.get("only in A", 0) + counts.get("only in B", 0)
        with_interval = self.rows[["low_a", "low_b"]].notna().all(axis=1).sum()
        disjoint = counts.get(DIFFER, 0) > CHANCE * with_interval
        return DIFFER if one_sided or disjoint or len(self.conclusions) else AGREE

    @property
    def counts(self) -> pd.DataFrame:
        """Numbers by table and state."""
        table = pd.crosstab(self.rows["table"], self.rows["state"])
        return table.reindex(columns=list(STATES), fill_value=0)

    @property
    def conclusions(self) -> pd.DataFrame:
        """The rows whose conclusion is another word on each side."""
        named = [(table, number) for table, numbers in CONCLUSIONS.items() for number in numbers]
        is_one = pd.MultiIndex.from_frame(self.rows[["table", "number"]]).isin(named)
        return self.rows[is_one & (self.rows["family"] != EXPLORATORY) & (self.rows["state"] == "moved")]

    def largest(self, most: int) -> pd.DataFrame:
        """Return the numbers with an interval that moved farthest, in units of the wider half of an interval: `halves`."""
        moved = self.rows[self.rows["state"].isin([AGREE, DIFFER])]
        half = (moved[["high_a", "high_b"]].to_numpy() - moved[["low_a", "low_b"]].to_numpy()).max(axis=1, initial=0) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            ranked = moved.assign(halves=moved["moved_by"].abs().to_numpy() / half)
        return ranked.sort_values(["halves", *NAMES], ascending=[False, *[True] * len(NAMES)], kind="stable").head(most)


def compare(one: Mapping[str, pd.DataFrame], other: Mapping[str, pd.DataFrame]) -> Comparison:
    """Compare the tables of two studies, by name."""
    rows = tidy(one).merge(tidy(other), on=NAMES, how="outer", suffixes=("_a", "_b"), indicator="side", validate="1:1")
    rows["moved_by"] = rows["value_b"] - rows["value_a"]
    rows["within"] = _lies_in(rows, "a", "b") & _lies_in(rows, "b", "a")
    rows["state"] = _states(rows)
    return Comparison(rows.drop(columns="side"))


def _states(rows: pd.DataFrame) -> np.ndarray:
    """Return the state of each row."""
    same = (rows["value_a"] == rows["value_b"]) | rows[["value_a", "value_b"]].isna().all(axis=1)
    for end in ("low", "high"):
        same &= (rows[f"{end}_a"] == rows[f"{end}_b"]) | rows[[f"{end}_a", f"{end}_b"]].isna().all(axis=1)
    same &= rows["text_a"] == rows["text_b"]
    has_interval = rows[["value_a", "value_b", "low_a", "low_b", "high_a", "high_b"]].notna().all(axis=1)
    meet = rows[["low_a", "low_b"]].max(axis=1) <= rows[["high_a", "high_b"]].min(axis=1)
    sides = [rows["side"] == "left_only", rows["side"] == "right_only"]
    return np.select([*sides, same, ~has_interval, meet], ["only in A", "only in B", EQUAL, "moved", AGREE], DIFFER)


def _lies_in(rows: pd.DataFrame, value: str, interval: str) -> pd.Series:
    return rows[f"value_{value}"].between(rows[f"low_{interval}"], rows[f"high_{interval}"])
