"""Families of tests: what was declared before the study ran, and what was looked at besides."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from clxai.errors import ClxaiError
from clxai.measures.levels import CONFIRMATORY, EXPLORATORY
from clxai.measures.statistics import holm
from clxai.names import ALL

DECLARED = ("model", "minus", "quantity", "metric", "units", "fill", "method", "head")  # what names one row of contrasts


def with_families(table: pd.DataFrame, confirmatory: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """Return contrasts with the columns `family`, `p_holm`, `p_fdr`, `p_equivalence_holm` and `p_noninferior_holm`.

    Confirmatory are the declared rows, one each; their p-values are corrected by Holm over these rows alone. All others are
    exploratory: Holm within quantity, metric, units, fill and kind of row (one method and head, all methods, all heads, all of
    both), over pairs, methods and heads; `p_fdr` is Benjamini and Hochberg's over all exploratory rows of the table [1995].

    Raises ClxaiError if a declared row is not there.
    """
    declared = _declared(table, confirmatory)
    table = table.assign(family=np.where(declared, CONFIRMATORY, EXPLORATORY))
    kind = [table["family"], table["method"] == ALL, table["head"] == ALL]
    table["p_holm"] = table.groupby(["quantity", "metric", "units", "fill", *kind], sort=False)["p"].transform(_holm)
    table.loc[declared, "p_holm"] = _holm(table.loc[declared, "p"])
    table["p_fdr"] = _discoveries(table["p"].where(~declared).to_numpy(dtype=float))
    for name in ("p_equivalence", "p_noninferior"):
        table[f"{name}_holm"] = np.nan
        table.loc[declared, f"{name}_holm"] = _holm(table.loc[declared, name])
    return table


def _declared(table: pd.DataFrame, confirmatory: Sequence[Mapping[str, str]]) -> np.ndarray:
    """Return which rows are declared."""
    found = np.zeros(len(table), dtype=bool)
    for row in confirmatory:
        own = (table[list(DECLARED)] == pd.Series({name: row[name] for name in DECLARED})).all(axis=1).to_numpy()
        if not own.any():
            where = ", ".join(f"{name} {row[name]}" for name in DECLARED)
            raise ClxaiError(f"statistics.confirmatory: the study has no contrast of {where}")
        found |= own
    return found


def _holm(p_values: pd.Series) -> np.ndarray:
    return holm(p_values.to_numpy(dtype=float))


def _discoveries(p_values: np.ndarray) -> np.ndarray:
    """Return the p-values corrected by Benjamini and Hochberg, NaN left out."""
    from scipy.stats import false_discovery_control

    known = np.isfinite(p_values)
    corrected = np.full(len(p_values), np.nan)
    if known.any():
        corrected[known] = false_discovery_control(p_values[known], method="bh")
    return corrected
