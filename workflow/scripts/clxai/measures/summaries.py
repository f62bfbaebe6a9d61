"""From curves to tables: one row per image, then means with seed deviation, random-effects intervals and variance components."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray

from clxai.design import joined
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.measures.best_control import excess_over_best
from clxai.measures.groups import groups_at, groups_of, with_groups
from clxai.measures.metrics.base import Curves, entering, measure
from clxai.measures.metrics.maps import Maps
from clxai.measures.metrics.masks import Masks
from clxai.measures.statistics import (
    as_cube,
    bootstrap_interval,
    bootstrap_weights,
    covers,
    seed_deviation,
    two_way,
)
from clxai.measures.truth import CHANCE, SHARES, better_of
from clxai.names import REFERENCE
from clxai.runtime.artefacts import read_record, read_table

RUN = ["model", "seed", "units", "method"]
CELL = ["explained_by", "scored_by", "fill"]
GROUP = ["model", "units", "method", *CELL]
_CIRCUMSTANCES = ("device", "cpu_capability", "torch", "numpy")  # as training.json has them
CURVE_QUANTITIES = ("probability", "probability_matched", "kept", "drift", "bank_distance")


def measure_runs(
    runs: Iterable[tuple[Mapping[str, object], xarray.Dataset]],
    metrics: Sequence[str],
    cross: bool = True,
    masks: Callable[[Mapping[str, object], xarray.Dataset], Masks] | None = None,
    maps: Callable[[Mapping[str, object], xarray.Dataset], Maps] | None = None,
    groups: pd.Series | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of images and of curves; each curves file is held once, and only while it is measured.

    Images: one row per (model, seed, units, method, explained_by, scored_by, fill, image) with these metrics, sorted; without
    `cross` only of heads scored by themselves. Curves: mean curves with 95 % intervals of each head explained and scored by
    itself, one row per step. `masks` and `maps` give what metrics of these read of a run, where there is one among them. `groups`
    has the group of each image by its number, where the data have groups: it becomes a column of the first table.
    """
    tables, collected, images_of = [], {}, None
    for run, dataset in runs:
        beside = [read and read(run, dataset) for read in (masks, maps)]
        table = measure(dataset, metrics, *beside).to_dataframe().reset_index()
        table = table if cross else table[table["explained_by"] == table["scored_by"]]
        for position, name in enumerate(RUN):
            table.insert(position, name, run[name])
        tables.append(table)
        images_of = dataset["image"].values
        for key, curves in _own_curves(run, dataset):
            collected.setdefault(key, {})[run["seed"]] = curves
    images = pd.concat(tables).sort_values([*RUN, *CELL, "image"], kind="stable").reset_index(drop=True)
    images = with_groups(images, groups)
    of = groups_at(groups, images_of)
    rows = [row for key, by_seed in sorted(collected.items()) for row in _summarise_curves(key, by_seed, of)]
    return images, pd.DataFrame(rows)


def summary_table(
    images: pd.DataFrame,
    metrics: Sequence[str],
    n_draws: int,
    seed: int,
    blind: Sequence[str] = (REFERENCE,),
    matched: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Return mean, seed deviation, 95 % interval and excess over random of each metric, one row per group and metric.

    `excess` is the mean difference to the random attribution of the same model, seed, units, head, fill and image, with
    intervals of its own. `ci` is the two-way random-effects interval, `boot` the crossed bootstrap's; `ci_over` says whether
    seeds are in them.
    `n_undefined` counts images for which the metric is not defined (constant curves); they are left out of that mean alone.
    `excess_best` is over the best of the `blind` controls, which know nothing of the network (`best_control.smallest`).
    `matched` has, by method, the fills that are its baseline: `baseline_is_fill`, empty for methods without a baseline.
    """
    both, best = with_excess(images, metrics), excess_over_best(images, metrics, blind, GROUP)
    rows = []
    for group, cell in both.groupby(GROUP, sort=True):
        _, _, method, _, _, fill = group
        fills = (matched or {}).get(method)
        mark = {"baseline_is_fill": None if fills is None else fill in fills}
        own = _summarise_cell(group, cell, metrics, n_draws, seed)
        rows += [{**row, **best[group, row["metric"]], **mark} for row in own]
    return pd.DataFrame(rows)


def mean_table(images: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Return the mean of each metric with its 95 % interval, one row per group and metric; over images where there is one seed.

    Where the table has the random attribution, also the excess over it, paired by image, as `summary_table` has it.
    """
    has_reference = bool((images["method"] == REFERENCE).any())
    table, rows = with_excess(images, metrics) if has_reference else images, []
    columns = {"mean": list(metrics), **({"excess": [f"excess_{name}" for name in metrics]} if has_reference else {})}
    for group, cell in table.groupby(GROUP, sort=True):
        groups = groups_of(cell)
        found = {what: two_way(as_cube(cell, names), groups) for what, names in columns.items()}
        for number, name in enumerate(metrics):
            row = {**dict(zip(GROUP, group, strict=True)), "metric": name, "better": better_of(name)}
            for what, own in found.items():
                ends = ("ci_low", "ci_high") if what == "mean" else (f"{what}_ci_low", f"{what}_ci_high")
                row |= {what: own.mean[number]} | {end: value[number] for end, value in zip(ends, own.interval(), strict=True)}
            counts = {"n_images": cell["image"].nunique(), "n_undefined": int(cell[name].isna().sum())}
            rows.append({**row, "ci_over": covers(found["mean"].n_seeds[number], groups is not None), **counts})
    return pd.DataFrame(rows)


def with_truth(summary: pd.DataFrame, truth: pd.DataFrame, n_draws: int, seed: int, blind: Sequence[str]) -> pd.DataFrame:
    """Return the summary with rows of the shares of maps that lie in the evidence, units and fill `all`, where it is known."""
    return summary if truth.empty else pd.concat([summary, summary_table(truth, SHARES, n_draws, seed, blind)], ignore_index=True)


def with_excess(images: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the table of images with a column `excess_{name}` for each name: the difference to random, paired by image.

    Raises ClxaiError if the study has no random attribution.
    """
    keys, names = ["model", "seed", "units", *CELL, "image"], list(names)
    reference = images[images["method"] == REFERENCE].set_index(keys)[names]
    if reference.empty:
        raise ClxaiError(f"the method {REFERENCE!r} is not in the table: there is nothing to compare with")
    excess = images[names].to_numpy() - reference.reindex(pd.MultiIndex.from_frame(images[keys])).to_numpy()
    return pd.concat([images, pd.DataFrame(excess, columns=[f"excess_{name}" for name in names], index=images.index)], axis=1)


def _summarise_cell(
    group: tuple, cell: pd.DataFrame, names: Sequence[str], n_draws: int, seed: int
) -> Iterable[dict[str, object]]:
    columns = [*names, *(f"excess_{name}" for name in names)]
    values, groups = as_cube(cell, columns), groups_of(cell)
    n_seeds, n_images, _ = values.shape
    found, deviation = two_way(values, groups), seed_deviation(values)
    low, high = found.interval()
    boot_low, boot_high = bootstrap_interval(values, shared_weights(n_seeds, n_images, n_draws, seed, groups))
    undefined = np.isnan(values).sum(axis=(0, 1))
    for number, name in enumerate(names):
        other = number + len(names)
        yield {
            **dict(zip(GROUP, group, strict=True)),
            "metric": name,
            "better": better_of(name),
            "mean": found.mean[number],
            "seed_sd": deviation[number],
            "ci_low": low[number],
            "ci_high": high[number],
            "boot_low": boot_low[number],
            "boot_high": boot_high[number],
            "excess": found.mean[other],
            "excess_ci_low": low[other],
            "excess_ci_high": high[other],
            "excess_boot_low": boot_low[other],
            "excess_boot_high": boot_high[other],
            "ci_over": covers(found.n_seeds[number], groups is not None),
            "n_seeds": n_seeds,
            "n_images": n_images,
            "n_undefined": undefined[number],
        }


def variance_table(images: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Return where the spread of the metrics that are declared for it comes from, for heads scored by themselves.

    One row per model, units, method, head, fill and metric: the variances of one value that belong to the seed, to the image and
    to neither (`residual`), negative estimates taken for 0, and their shares of the sum. With one seed, image and residual cannot
    be told apart: `image_variance` holds both, seed and residual are empty. Where images have groups, also what belongs to these
    (`group`), and their number.
    """
    names = entering("variance", metrics)
    own = images[images["explained_by"] == images["scored_by"]].rename(columns={"scored_by": "head"})
    keys, rows = ["model", "units", "method", "head", "fill"], []
    for group, cell in own.groupby(keys, sort=True):
        values, groups = as_cube(cell, names), groups_of(cell)
        found = two_way(values, groups)
        sources = ("seed", *(() if groups is None else ("group",)), "image", "residual")
        parts = np.stack([getattr(found, source) for source in sources])
        shares = parts / np.where((total := np.nansum(parts, axis=0)) > 0, total, np.nan)
        for number, name in enumerate(names):
            numbers = {f"{part}_variance": parts[place, number] for place, part in enumerate(sources)}
            numbers |= {f"{part}_share": shares[place, number] for place, part in enumerate(sources)}
            counts = {"n_seeds": values.shape[0], "n_images": values.shape[1]}
            counts |= {} if groups is None else {"n_groups": int(groups.max()) + 1}
            rows.append({**dict(zip(keys, group, strict=True)), "metric": name, **numbers, **counts})
    return pd.DataFrame(rows)


def keep(
    runs: Iterable[tuple[Mapping[str, object], xarray.Dataset]],
    names: Sequence[str],
    kept: list[tuple[Mapping[str, object], xarray.Dataset]],
) -> Iterable[tuple[Mapping[str, object], xarray.Dataset]]:
    """Yield the runs and append to `kept` these variables of each: a file is read once, and held no longer than it is used."""
    for run, dataset in runs:
        kept.append((run, dataset[list(names)]))
        yield run, dataset


def map_table(
    curves: Iterable[tuple[Mapping[str, object], xarray.Dataset]], maps: Iterable[tuple[Mapping[str, object], xarray.Dataset]]
) -> pd.DataFrame:
    """Return how far maps rank anything at all: one row per model, seed, units, method and head, each number a mean over images.

    `degenerate` is the share of images ranked at random, `unit_ties` and `pixel_ties` the shares of tied units and pixels,
    `zeros` that of pixels that are 0, `all_zero` the share of images whose map is 0 everywhere, `forward_equivalents` what a map
    cost. Where the evidence is known, those of `truth` too. `maps` are those that the curves were made from, one per model, seed
    and method.
    """
    rows, by_run = [], {(run["model"], run["seed"], run["method"]): explained for run, explained in maps}
    for run, curve in curves:
        explained = by_run[run["model"], run["seed"], run["method"]]
        for head in curve["explained_by"].values.tolist():
            ranked, pixels = curve.sel(explained_by=head), explained.sel(head=head)
            numbers = {
                "degenerate": ranked["degenerate"],
                "unit_ties": ranked["tie_fraction"],
                "pixel_ties": pixels["tie_fraction"],
                "zeros": pixels["zero_fraction"],
                "all_zero": pixels["zero_fraction"] == 1,
                "forward_equivalents": pixels["forward_equivalents"],
            }
            numbers |= {name: pixels[name] for name in (*SHARES, CHANCE) if name in pixels}
            means = {name: float(values.astype(float).mean()) for name, values in numbers.items()}
            rows.append({**{name: run[name] for name in RUN}, "head": head, **means, "n_images": ranked.sizes["image"]})
    return pd.DataFrame(rows).sort_values([*RUN, "head"], kind="stable").reset_index(drop=True)


_WEIGHTS: dict[tuple, np.ndarray] = {}


def shared_weights(n_seeds: int, n_images: int, n_draws: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the bootstrap draws of a study; the same for every group, so that groups are compared on equal draws."""
    key = (n_seeds, n_images, n_draws, seed)
    known = (*key, None if groups is None else groups.tobytes())
    if known not in _WEIGHTS:
        rng = np.random.default_rng(key_of("bootstrap", *key))
        _WEIGHTS[known] = bootstrap_weights(n_seeds, n_images, n_draws, rng, groups)
    return _WEIGHTS[known]


def _own_curves(run: Mapping[str, object], dataset: xarray.Dataset) -> Iterable[tuple[tuple, tuple[np.ndarray, np.ndarray]]]:
    """Yield (key, (values [image, step], fraction)) of each head explained and scored by itself, per fill, order and quantity."""
    curves = Curves(dataset)
    for quantity in CURVE_QUANTITIES:
        for order in dataset["order"].values.tolist():
            values = curves(quantity, order)
            for number, head in enumerate(dataset["explained_by"].values.tolist()):
                scorer = number if values.shape[1] > 1 else 0
                for place, fill in enumerate(dataset["fill"].values.tolist()):
                    key = (run["model"], run["units"], run["method"], head, fill, order, quantity)
                    yield key, (values[number, scorer, place], curves.fraction)


def _summarise_curves(
    key: tuple, by_seed: Mapping[object, tuple[np.ndarray, np.ndarray]], groups: np.ndarray | None
) -> Iterable[dict[str, object]]:
    values = np.stack([by_seed[number][0] for number in sorted(by_seed)])
    found = two_way(values, groups)
    low, high = found.interval()
    fraction = next(iter(by_seed.values()))[1]
    for step, place in enumerate(fraction):
        names = ("model", "units", "method", "head", "fill", "order", "quantity")
        numbers = {"fraction": place, "mean": found.mean[step], "ci_low": low[step], "ci_high": high[step]}
        yield {**dict(zip(names, key, strict=True)), **numbers}


def head_table(trainings: Sequence[Mapping[str, object]], paths: Sequence[str]) -> pd.DataFrame:
    """Return the metrics of every head of every model and seed, one row per head and split."""
    parts = []
    for cell, path in joined(trainings, paths):
        part = read_table(path)
        part.insert(0, "model", cell["model"])
        part.insert(1, "seed", cell["seed"])
        parts.append(part)
    return pd.concat(parts).sort_values(["model", "seed", "head", "split"], kind="stable")


def model_table(trainings: Sequence[Mapping[str, object]], paths: Sequence[str]) -> pd.DataFrame:
    """Return how each model was trained and selected, one row per model and seed.

    Raises ClxaiError if a record is that of another seed.
    """
    names = ("loss", "keep", "epoch", "epochs", "val_accuracy", "final_loss", "precision", *_CIRCUMSTANCES)
    rows = []
    for cell, path in joined(trainings, paths):
        record = read_record(path)
        if record["seed"] != cell["seed"]:
            raise ClxaiError(f"{path}: a record of seed {record['seed']} in the place of seed {cell['seed']}")
        rows.append({**cell, **{name: record[name] for name in names}})
    return pd.DataFrame(rows).sort_values(["model", "seed"], kind="stable")
