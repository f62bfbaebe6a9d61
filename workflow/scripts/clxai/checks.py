"""Self-checks of a study: each is a row with its value and limits; one that fails stops the workflow.

They hold what is known to go wrong without a trace: curves that do not add up, gradients that do not integrate, relevance that is
not conserved, and a score that rewards noise.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import xarray

from clxai.errors import ClxaiError
from clxai.names import REFERENCE
from clxai.statistics import holm_zero_tests

IDENTITY_LIMIT = 1e-6


def check_table(
    images: pd.DataFrame, runs: Iterable[tuple[Mapping[str, object], xarray.Dataset]], limits: Mapping[str, object]
) -> pd.DataFrame:
    """Return all self-checks of a study, one row each."""
    rows = [*identity_checks(images), *explanation_checks(runs, limits), *random_checks(images, limits["alpha"])]
    return pd.DataFrame(rows)


def identity_checks(images: pd.DataFrame) -> list[dict[str, object]]:
    """Insertion minus deletion is SRG: the largest difference over all images, for each kind of score."""
    rows = []
    for suffix in ("", "_matched", "_kept"):
        gap = (images[f"auc_insertion{suffix}"] - images[f"auc_deletion{suffix}"] - images[f"srg{suffix}"]).abs().max()
        rows.append(_row(f"insertion - deletion - SRG{suffix}", {}, float(gap), 0.0, IDENTITY_LIMIT))
    return rows


def explanation_checks(
    runs: Iterable[tuple[Mapping[str, object], xarray.Dataset]], settings: Mapping[str, object]
) -> list[dict[str, object]]:
    """IG completeness and LRP conservation: the median over images, for each model, seed and head that reports one."""
    limits = {
        "completeness_error": (0.0, settings["ig_completeness"]),
        "conservation_ratio": tuple(settings["lrp_conservation"]),
    }
    rows = []
    for run, dataset in runs:
        for name, (low, high) in limits.items():
            if name in dataset:
                for head in dataset["head"].values.tolist():
                    where = {**run, "head": head}
                    rows.append(_row(name, where, float(np.median(dataset[name].sel(head=head))), low, high))
    return rows


def random_checks(images: pd.DataFrame, alpha: float) -> list[dict[str, object]]:
    """The random attribution's SRG is 0: two-sided t-test per model, head and fill over all images, Holm-corrected.

    The row's value is the corrected p-value, which must not fall below alpha.
    """
    own = images[(images["method"] == REFERENCE) & (images["explained_by"] == images["scored_by"])]
    rows = []
    for column in ("srg", "srg_matched", "srg_kept"):
        cells = {key: cell[column].to_numpy() for key, cell in own.groupby(["model", "scored_by", "fill"], sort=True)}
        p_values, _ = holm_zero_tests(cells, alpha)
        for (model, head, fill), p_value in zip(cells, p_values, strict=True):
            where = {"model": model, "method": REFERENCE, "head": head}
            rows.append(_row(f"random {column} is 0, fill {fill} (Holm p)", where, float(p_value), alpha, 1.0))
    return rows


def require_all(table: pd.DataFrame) -> None:
    """Raise ClxaiError listing every failed check."""
    failed = table[~table["passed"]]
    if len(failed):
        lines = failed.drop(columns="passed").to_string(index=False)
        raise ClxaiError(f"{len(failed)} of {len(table)} self-checks failed; no result of this study can be trusted:\n{lines}")


def _row(check: str, where: Mapping[str, object], value: float, low: float, high: float) -> dict[str, object]:
    place = {name: where.get(name, "all") for name in ("model", "seed", "method", "head")}
    return {"check": check, **place, "value": value, "low": low, "high": high, "passed": bool(low <= value <= high)}
