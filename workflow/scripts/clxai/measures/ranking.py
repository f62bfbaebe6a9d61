"""The ranking of the methods beside what they cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from clxai.design import joined

METRIC = "srg_matched"
_CELL = ["model", "units", "fill", "head"]  # within which methods are ranked
_SHOWN = ("mean", "ci_low", "ci_high", "excess", "excess_ci_low", "excess_ci_high")
_BEST = ("excess_best", "excess_best_low", "excess_best_high")  # of studies with a control that is blind to the network


def ranking_table(summary: pd.DataFrame, maps: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    """Return the methods of each model, units, fill and head from the best on, by SRG in excess of random (`rank`).

    With their intervals and what they cost: `forward_equivalents` an image, for this head, and the `seconds` of the job that
    explains all images and heads of the sample, its start included; means over seeds, the seconds where they were measured.
    """
    own = summary[(summary["metric"] == METRIC) & (summary["explained_by"] == summary["scored_by"])]
    own = own.rename(columns={"explained_by": "head"})
    spent = maps.groupby(["model", "units", "method", "head"], as_index=False)["forward_equivalents"].mean()
    timed = seconds.groupby(["model", "method"], as_index=False)["seconds"].mean()
    found = own.merge(spent, how="left", validate="m:1").merge(timed, how="left", validate="m:1")
    found["rank"] = found.groupby(_CELL)["excess"].rank(ascending=False, method="min")
    columns = [*_CELL, "rank", "method", *_SHOWN, *(name for name in _BEST if name in found)]
    found = found[[*columns, "forward_equivalents", "seconds", "n_seeds", "n_images"]].rename(columns={"mean": METRIC})
    return found.sort_values([*_CELL, "rank", "method"], kind="stable").reset_index(drop=True)


def measured_seconds(cells: Sequence[Mapping[str, object]], paths: Sequence[str]) -> pd.DataFrame:
    """Return the wall time of the job of each cell, as Snakemake measured it; NaN where its record is not there any more.

    Raises ClxaiError if a file is not that of its cell.
    """
    return pd.DataFrame([{**cell, "seconds": _seconds(Path(path))} for cell, path in joined(cells, paths)])


def _seconds(path: Path) -> float:
    return float(pd.read_csv(path, sep="\t")["s"].mean()) if path.is_file() else np.nan
