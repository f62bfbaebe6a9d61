"""Differences between models: paired by image and seed, with intervals, corrected tests and tests of equivalence."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
import xarray

from clxai.errors import ClxaiError
from clxai.measures.levels import ALPHA
from clxai.measures.metrics.base import entering
from clxai.measures.statistics import TwoWay, covers, holm, two_way
from clxai.names import ALL, REFERENCE

_KEYS = ["model", "units", "method", "head", "fill"]
_COLUMNS = (
    *("model", "minus", "quantity", "metric", "units", "fill", "method", "head"),
    *("difference", "ci_low", "ci_high", "df", "p", "p_holm", "p_equivalence", "equivalent"),
    *("margin", "ci_over", "n_seeds", "n_images", "n_undefined"),
)


def contrast_table(images: pd.DataFrame, metrics: Sequence[str], pairs: Sequence[Sequence[str]], margin: float) -> pd.DataFrame:
    """Return the difference of each pair of models (first minus second), one row each.

    Of the metrics those that are declared for it: gains that do not depend on the raw confidence of a head. Values are paired by
    image and by seed, each head scored by itself; `quantity` is the metric itself or its excess over random.
    Method or head `all`: the mean over the methods (but the random one) or over the heads that both models have. `p_holm` is
    corrected within quantity, metric, units, fill and kind of row (one method and head, all methods, all heads, all of both),
    over pairs, methods and heads together. `equivalent`: both one-sided tests against `margin` reject at 5 %, not corrected.
    """
    cubes, rows = _cubes(images, entering("contrasts", metrics)), []
    for first, second in pairs:
        for units, fill in product(cubes["units"].values.tolist(), cubes["fill"].values.tolist()):
            rows.extend(_pair_rows(cubes.sel(units=units, fill=fill), first, second, {"units": units, "fill": fill}, margin))
    if not rows:
        return pd.DataFrame(columns=_COLUMNS)
    table = pd.DataFrame(rows)
    kind = [table["method"] == ALL, table["head"] == ALL]
    families = table.groupby(["quantity", "metric", "units", "fill", *kind], sort=False)["p"]
    table["p_holm"] = families.transform(lambda p: holm(p.to_numpy()))
    return table[list(_COLUMNS)]


def _cubes(images: pd.DataFrame, metrics: Sequence[str]) -> xarray.Dataset:
    """Return values and excess of the heads scored by themselves as [model, units, method, head, fill, seed, image, metric]."""
    own = images[images["explained_by"] == images["scored_by"]].rename(columns={"scored_by": "head"})
    table = own.set_index([*_KEYS, "seed", "image"])[list(metrics)]
    if table.index.duplicated().any():
        raise ClxaiError("the table of images holds an image twice")
    values = table.to_xarray().to_dataarray("metric")
    there = table.assign(there=True)["there"].to_xarray().notnull()
    excess = values - values.sel({"method": REFERENCE}, drop=True)
    return xarray.Dataset({"value": values, "excess": excess, "there": there})


def _pair_rows(
    both: xarray.Dataset, first: str, second: str, cell: Mapping[str, str], margin: float
) -> Iterable[dict[str, object]]:
    """Yield the rows of one pair from the cubes of one cell (units and fill), without the correction."""
    shared = both["there"].sel(model=[first, second]).any(["seed", "image", "method"]).all("model")
    heads = [str(head) for head in both["head"].values[shared.values]]
    methods = [str(method) for method in both["method"].values if method != REFERENCE]
    if not heads or not methods:
        return
    for quantity in ("value", "excess"):
        chosen = both[quantity].sel({"head": heads, "method": methods})
        chosen = chosen.transpose("model", "metric", "method", "head", "seed", "image")
        difference = chosen.sel(model=first).values - chosen.sel(model=second).values
        for metric, values in zip(chosen["metric"].values.tolist(), _with_means(difference), strict=True):
            columns = np.moveaxis(values.reshape(-1, *values.shape[-2:]), 0, -1)
            places = [(method, head) for method in [*methods, ALL] for head in [*heads, ALL]]
            where = {"model": first, "minus": second, "quantity": quantity, "metric": metric, **cell}
            undefined = np.isnan(columns).sum((0, 1))
            for (method, head), numbers in zip(places, _numbers(two_way(columns), margin, undefined), strict=True):
                yield {**where, "method": method, "head": head, **numbers}


def _with_means(values: np.ndarray) -> np.ndarray:
    """Return [metric, method, head, ...] with the mean over methods as one more method and over heads as one more head."""
    methods = np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)
    return np.concatenate([methods, methods.mean(axis=2, keepdims=True)], axis=2)


def _numbers(found: TwoWay, margin: float, undefined: np.ndarray) -> Iterable[Mapping[str, object]]:
    """Yield the numbers of each column."""
    (low, high), p, p_equivalence = found.interval(), found.p_value(), found.p_equivalence(margin)
    for column in range(len(p)):
        yield {
            "difference": found.mean[column],
            "ci_low": low[column],
            "ci_high": high[column],
            "df": found.df[column],
            "p": p[column],
            "p_equivalence": p_equivalence[column],
            "equivalent": bool(p_equivalence[column] < ALPHA),
            "margin": margin,
            "ci_over": covers(found.n_seeds[column]),
            "n_seeds": int(found.n_seeds[column]),
            "n_images": int(found.n_images[column]),
            "n_undefined": int(undefined[column]),
        }
