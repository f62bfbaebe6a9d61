"""The methods ranked by each metric, in the direction that it declares, whichever table its numbers stand in.

A rank compares the methods of a study, no more: one more method can change it, and a control can be first.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from clxai.names import ALL

_CELL = ["model", "units", "fill", "head", "metric"]  # within which methods are ranked
_NUMBERS = ["mean", "ci_low", "ci_high", "n_seeds", "n_images", "n_undefined"]
COLUMNS = (
    *_CELL,
    *("better", "method", "control", "mean", "ci_low", "ci_high", "rank", "rank_best", "rank_worst", "n_methods"),
    *("n_seeds", "n_images", "n_undefined"),
)


def rank_table(summary: pd.DataFrame, beside: Sequence[pd.DataFrame], controls: Sequence[str]) -> pd.DataFrame:
    """Return the rank of each method by each metric with a better direction, 1 the best, mean ranks for ties; controls too.

    One row per model, units, fill, head, metric and method, of heads scored by themselves. `beside` are tables of measures,
    columns `measure` and `better`, that do not depend on the fill, which is `all`. `rank` is empty where a method has no mean,
    and where it alone has one. `rank_best` and `rank_worst` are what it could be within the 95 % intervals: better than all but
    those whose whole interval lies above its own, and worse than all but those whose whole interval lies below.
    """
    own = summary[summary["explained_by"] == summary["scored_by"]].rename(columns={"scored_by": "head"})
    others = [table.rename(columns={"measure": "metric"}).assign(fill=ALL) for table in beside]
    names = [*_CELL, "better", "method", *_NUMBERS]
    rows = pd.concat([table[names] for table in (own, *others)], ignore_index=True)
    rows = rows[rows["better"] != 0].assign(control=lambda found: found["method"].isin(controls).astype(int))
    ranked = [_ranked(cell) for _, cell in rows.groupby(_CELL, sort=True)]
    found = pd.concat(ranked, ignore_index=True) if ranked else pd.DataFrame(columns=COLUMNS)
    return found[list(COLUMNS)]


def directed_ends(rows: pd.DataFrame) -> Float[ndarray, "row end"]:
    """Return the ends of the interval of each row, the better the larger, the worse first; NaN is last, and never beyond."""
    return np.sort(rows["better"].to_numpy()[:, None] * rows[["ci_low", "ci_high"]].to_numpy(dtype=float), axis=1)


def _ranked(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the methods of one cell from the best on; those without a number last."""
    better = cell["better"].to_numpy()
    value, (low, high) = better * cell["mean"].to_numpy(dtype=float), directed_ends(cell).T
    known = np.isfinite(value)
    ranked = known & (known.sum() > 1)  # one alone would be first of one
    above = (low[None] > high[:, None]).sum(axis=1)
    below = (high[None] < low[:, None]).sum(axis=1)
    found = cell.assign(
        rank=pd.Series(np.where(ranked, value, np.nan), cell.index).rank(ascending=False, method="average"),
        rank_best=np.where(ranked, 1.0 + above, np.nan),
        rank_worst=np.where(ranked, known.sum() - below, np.nan),
        n_methods=int(known.sum()),
    )
    return found.sort_values(["rank", "method"], kind="stable")
