"""Differences between models: paired by image and seed, with intervals, tests, sizes, and what other studies could show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import xarray

from clxai.errors import ClxaiError
from clxai.measures.effects import improvement, standardised
from clxai.measures.families import DECLARED, with_families
from clxai.measures.groups import groups_of
from clxai.measures.levels import ALPHA, CONFIRMATORY, FEW_SEEDS
from clxai.measures.metrics.base import METRICS, entering
from clxai.measures.power import Plan, plan_of, seeds_needed
from clxai.measures.statistics import covers, two_way
from clxai.names import ALL, REFERENCE

_KEYS = ["model", "units", "method", "head", "fill"]
_COLUMNS = (
    *(*DECLARED, "family"),
    *("difference", "ci_low", "ci_high", "df", "p", "p_holm", "p_fdr"),
    *("p_equivalence", "p_equivalence_holm", "equivalent", "p_noninferior", "p_noninferior_holm", "noninferior", "margin"),
    *("effect_size", "improvement", "detectable", "seeds_needed"),
    *("ci_over", "n_seeds", "few_seeds", "n_images", "n_undefined"),
)
_POWER_COLUMNS = (
    *(*DECLARED, "family"),
    *("n_seeds", "n_images", "detectable", "power", "margin", "seed_sd", "image_sd", "residual_sd"),
)


@dataclass(frozen=True)
class Settings:
    """What the config says of the contrasts: pairs (first minus second), declared rows, margin, controls, and plans of studies.

    `level` is the power that is planned for, `seeds` and `images` the sizes of studies that are planned.
    """

    pairs: Sequence[Sequence[str]]
    margin: float
    confirmatory: Sequence[Mapping[str, str]] = ()
    controls: Sequence[str] = (REFERENCE,)
    level: float = 0.8
    seeds: Sequence[int] = ()
    images: Sequence[int] = ()


def contrast_tables(images: pd.DataFrame, metrics: Sequence[str], settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the differences of each pair of models (first minus second), and what studies of other sizes could show of them.

    Of the metrics those that are declared for it: gains that do not depend on the raw confidence of a head. Values are paired by
    image and by seed, each head scored by itself; `quantity` is the metric itself or its excess over random.
    Methods are those that both models have. Method or head `all`: the mean over the methods that are no controls, or over the
    heads that both models have.
    `families.with_families` says how p-values are corrected. `equivalent` and `noninferior`: the tests against the margin reject
    at 5 %, not corrected. The second table plans for the declared rows and those of all methods and heads.
    A column `group` of the images is a further random factor.
    """
    groups = groups_of(images)
    cubes, rows, plans = _cubes(images, entering("contrasts", metrics)), [], []
    for first, second in settings.pairs:
        for units, fill in product(cubes["units"].values.tolist(), cubes["fill"].values.tolist()):
            cell = {"units": units, "fill": fill}
            for row, plan in _pair_rows(cubes.sel(cell), first, second, cell, settings, groups):
                rows.append(row)
                plans.append(plan)
    if not rows:
        return pd.DataFrame(columns=_COLUMNS), pd.DataFrame(columns=_POWER_COLUMNS)
    table = with_families(pd.DataFrame(rows), settings.confirmatory)
    return table[list(_COLUMNS)], _planned(table, plans, settings)


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
    both: xarray.Dataset,
    first: str,
    second: str,
    cell: Mapping[str, str],
    settings: Settings,
    groups: np.ndarray | None,
) -> Iterable[tuple[dict[str, object], Mapping[str, float]]]:
    """Yield the rows of one pair from the cubes of one cell (units and fill), uncorrected, with the deviations of one value."""
    there = both["there"].sel(model=[first, second]).any(["seed", "image"])
    heads = [str(head) for head in both["head"].values[there.any("method").all("model").values]]
    shared = there.sel(head=heads).any("head").all("model").values
    methods = [str(method) for method in both["method"].values[shared] if method != REFERENCE]
    if not heads or not methods:
        return
    averaged = [place for place, method in enumerate(methods) if method not in settings.controls]
    places = [(method, head) for method in [*methods, *([ALL] if averaged else [])] for head in [*heads, ALL]]
    for quantity in ("value", "excess"):
        chosen = both[quantity].sel({"head": heads, "method": methods})
        chosen = chosen.transpose("model", "metric", "method", "head", "seed", "image")
        one, other = (chosen.sel(model=model).values for model in (first, second))
        parts = (_with_means(values, averaged) for values in (one - other, one, other))
        for metric, *cubes in zip(chosen["metric"].values.tolist(), *parts, strict=True):
            columns = [np.moveaxis(values.reshape(-1, *values.shape[-2:]), 0, -1) for values in cubes]
            where = {"model": first, "minus": second, "quantity": quantity, "metric": metric, **cell}
            found = _numbers(*columns, METRICS[metric].semantics["better"], settings, groups)
            for (method, head), (numbers, plan) in zip(places, found, strict=True):
                yield {**where, "method": method, "head": head, **numbers}, plan


def _with_means(values: np.ndarray, averaged: Sequence[int]) -> np.ndarray:
    """Return [metric, method, head, ...] with the mean over some methods as one more method and over heads as one more head."""
    if averaged:
        values = np.concatenate([values, values[:, averaged].mean(axis=1, keepdims=True)], axis=1)
    return np.concatenate([values, values.mean(axis=2, keepdims=True)], axis=2)


def _numbers(
    difference: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    better: int,
    settings: Settings,
    groups: np.ndarray | None,
) -> Iterable[tuple[dict[str, object], Mapping[str, float]]]:
    """Yield the numbers of each column [seed, image, column], and the standard deviations of the parts of one value."""
    found, margin = two_way(difference, groups), settings.margin
    (low, high), p_equivalence, plan = found.interval(), found.p_equivalence(margin), plan_of(found)
    p_noninferior = found.p_noninferior(margin, better) if better else np.full(len(low), np.nan)
    table = {
        "difference": found.mean,
        "ci_low": low,
        "ci_high": high,
        "df": found.df,
        "p": found.p_value(),
        "p_equivalence": p_equivalence,
        "equivalent": p_equivalence < ALPHA,
        "p_noninferior": p_noninferior,
        "noninferior": p_noninferior < ALPHA,
        "margin": np.full(len(low), margin),
        "effect_size": standardised(difference),
        "improvement": improvement(first, second) if better >= 0 else improvement(second, first),
        "detectable": plan.detectable(settings.level),
        "seeds_needed": seeds_needed(plan, margin, settings.level),
        "ci_over": [covers(number, groups is not None) for number in found.n_seeds],
        "n_seeds": found.n_seeds.astype(int),
        "few_seeds": found.n_seeds < FEW_SEEDS,
        "n_images": found.n_images.astype(int),
        "n_undefined": np.isnan(difference).sum((0, 1)),
    }
    parts = {name: np.sqrt(getattr(plan, name)) for name in ("seed", "image", "residual")}
    if groups is not None:
        parts |= {"group": np.sqrt(found.group), "n_groups": found.n_groups}
    for column in range(len(low)):
        yield {name: values[column] for name, values in table.items()}, {name: part[column] for name, part in parts.items()}


def _planned(table: pd.DataFrame, deviations: Sequence[Mapping[str, float]], settings: Settings) -> pd.DataFrame:
    """Return what studies of other sizes could show, one row per contrast, number of seeds and of images."""
    chosen = (table["family"] == CONFIRMATORY) | ((table["method"] == ALL) & (table["head"] == ALL))
    parts = pd.DataFrame(deviations, index=table.index).rename(
        columns=lambda name: name if name.startswith("n_") else f"{name}_sd"
    )
    rows = pd.concat([table[["family", *DECLARED, "margin"]], parts], axis=1)[chosen]
    sizes = pd.DataFrame(product(settings.seeds, settings.images), columns=["n_seeds", "n_images"])
    grid = rows.merge(sizes, how="cross")
    variances = (grid[f"{name}_sd"].to_numpy() ** 2 for name in ("seed", "image", "residual"))
    with_groups = "n_groups" in grid
    groups = {"group": grid["group_sd"].to_numpy() ** 2, "n_groups": grid["n_groups"].to_numpy(dtype=int)} if with_groups else {}
    plan = Plan(*variances, grid["n_seeds"].to_numpy(dtype=int), grid["n_images"].to_numpy(dtype=int), **groups)
    grid = grid.assign(detectable=plan.detectable(settings.level), power=plan.power(settings.margin))
    return grid[[*_POWER_COLUMNS, *(("group_sd", "n_groups") if with_groups else ())]]
