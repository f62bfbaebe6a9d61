"""How stable the maps of each method are, beside what they are worth: one that is the same for all images is the most stable."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray
from jaxtyping import Float
from numpy import ndarray

from clxai.errors import ClxaiError
from clxai.measures.groups import groups_at
from clxai.measures.rows import mean_columns

METRIC = "srg_matched"  # beside which stability stands
MEASURES = {  # and the better direction
    **{"max_sensitivity": -1, "average_sensitivity": -1, "lipschitz": -1, "per_output": -1},
    **{"rank_mean": 1, "rank_worst": 1},
}
_CELL = ("model", "units", "method", "head")
COLUMNS = (
    *_CELL,
    *("measure", "better", "mean", "ci_low", "ci_high", "ci_over", "n_seeds", "n_images", "n_undefined"),
    *("draws", "radius", "discarded", "fill", "srg", "srg_ci_low", "srg_ci_high"),
)
Values = Float[ndarray, "head image"]


def measures_of(found: xarray.Dataset) -> dict[str, Values]:
    """Return the measures of one run and method [head, image], over the draws that leave the prediction; NaN without any.

    max_sensitivity, average_sensitivity: largest and mean relative change of the map [Yeh et al. 2019; Bhatt et al. 2020].
    lipschitz: largest distance of the maps, each divided by its length, over that of the images, pixels in [0, 1]
    [Alvarez-Melis, Jaakkola 2018]. per_output: root mean square of the relative change of the map over that of the log-odds.
    rank_mean, rank_worst: mean and least rank correlation of the orders of removal.
    """
    kept = found["same_prediction"] == 1
    drawn = {name: found[name].where(kept) for name in ("change", "turn", "rank_correlation", "output_change")}
    moved = _rms(drawn["output_change"] / np.abs(found["log_odds"]))
    values = {
        "max_sensitivity": drawn["change"].max("draw"),
        "average_sensitivity": drawn["change"].mean("draw"),
        "lipschitz": (drawn["turn"] / found["distance"]).max("draw"),
        "per_output": _rms(drawn["change"]) / moved.where(moved > 0),
        "rank_mean": drawn["rank_correlation"].mean("draw"),
        "rank_worst": drawn["rank_correlation"].min("draw"),
    }
    return {name: value.transpose("head", "image").values.astype(np.float64) for name, value in values.items()}


def stability_table(
    runs: Iterable[tuple[Mapping[str, Any], xarray.Dataset]],
    summary: pd.DataFrame,
    fill: str,
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Return mean and 95 % interval of each measure, with the SRG of the same maps beside it: one row per cell and measure.

    `summary` is the study's table, of which the rows of `fill` are taken. `discarded` is the share of draws that change the
    prediction. `groups` has the group of each image by its number, where the data have groups. Raises ClxaiError if the summary
    lacks the SRG of a method: stability alone prefers maps that say nothing.
    """
    collected: dict[tuple[str, ...], dict[str, Any]] = {}
    for run, found in runs:
        values, heads = measures_of(found), found["head"].values.tolist()
        for place, head in enumerate(heads):
            cell = collected.setdefault((run["model"], run["units"], run["method"], head), {"seeds": [], "gone": []})
            cell["seeds"].append({name: value[place] for name, value in values.items()})
            cell["gone"].append(1 - float(found["same_prediction"].isel(head=place).mean()))
            cell["groups"] = groups_at(groups, found["image"].values)
            cell["draws"], cell["radius"] = found.sizes["draw"], float(found.attrs["radius"])
    worth, rows = _worth(summary, fill), []
    for key, cell in sorted(collected.items()):
        if key not in worth.index:
            raise ClxaiError(f"stability of {', '.join(key)}: the summary has no {METRIC} with fill {fill} of it")
        beside = {"fill": fill, **dict(zip(("srg", "srg_ci_low", "srg_ci_high"), worth.loc[key].tolist(), strict=True))}
        told = {"draws": cell["draws"], "radius": cell["radius"], "discarded": float(np.mean(cell["gone"])), **beside}
        for name, better in MEASURES.items():
            numbers = mean_columns(np.stack([values[name] for values in cell["seeds"]]), cell["groups"])
            rows.append({**dict(zip(_CELL, key, strict=True)), "measure": name, "better": better, **numbers, **told})
    return pd.DataFrame(rows, columns=COLUMNS)


def _rms(values: xarray.DataArray) -> xarray.DataArray:
    return np.sqrt((values**2).mean("draw"))


def _worth(summary: pd.DataFrame, fill: str) -> pd.DataFrame:
    """Return SRG with its interval by cell, of heads scored by themselves."""
    own = summary[(summary["metric"] == METRIC) & (summary["fill"] == fill)]
    own = own[own["explained_by"] == own["scored_by"]].rename(columns={"scored_by": "head"})
    return own.set_index(list(_CELL))[["mean", "ci_low", "ci_high"]]
