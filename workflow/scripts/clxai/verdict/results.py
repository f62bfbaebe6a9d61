"""A study metric by metric: what each says of the methods in one sentence, how they rank, and their means.

The verdict answers the question of the study; this page lists what was measured. Every sentence is made from `metric_ranks.csv`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from clxai.measures.metric_ranks import directed_ends
from clxai.names import ALL
from clxai.verdict.blocks import Block
from clxai.verdict.phrasing import listed, number

_WORDS = {1: "higher is better", -1: "lower is better"}
INTRODUCTION = (
    "A cell is a model with a head that scores its own explanations. Means are over seeds and images, with 95 % intervals that "
    "are not corrected for their number. A method is above the controls where its whole interval is better than that of each "
    "control, and leads where its rank is the first among the methods that are none. A metric by which a control leads cannot "
    "tell an explanation from a map that knows nothing of the model."
)


def results_page(name: str, dataset: str, settings: Mapping[str, Any], ranks: pd.DataFrame) -> list[Block]:
    """Return the blocks of the page: settings, a sentence for each metric, ranks, and means of each metric.

    `settings` are `units` and `fill`, those that are shown, and lists and numbers under the names that the page gives them;
    `ranks` is `tables/metric_ranks.csv`.
    """
    shown = ranks[ranks["units"].isin([settings["units"], ALL]) & ranks["fill"].isin([settings["fill"], ALL])]
    told = {key: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in settings.items()}
    by_metric = dict(iter(shown.groupby("metric", sort=True)))
    return [
        Block(f"Results: {name}, {dataset}", level=1),
        Block("Settings", level=2),
        Block(header=("setting", "value"), rows=tuple(told.items())),
        Block("Findings", level=2),
        Block(INTRODUCTION),
        Block(items=tuple((finding(metric, rows), "") for metric, rows in by_metric.items())),
        Block("Ranks", level=2),
        Block("Mean over the cells, 1 the best; (c): a control; -: undefined."),
        _ranks(shown),
        Block("Means", level=2),
        *(block for metric, rows in by_metric.items() for block in _means(metric, rows)),
    ]


def finding(metric: str, rows: pd.DataFrame) -> str:
    """Return what one metric says, in a sentence: who leads, who is above the controls, where one leads, what is undefined."""
    cells = [cell for _, cell in rows.groupby(["model", "head"])]
    leaders, above, led = _counts(map(_leaders, cells)), _counts(map(_above_controls, cells)), sum(map(_control_leads, cells))
    values, undefined = int((rows["n_seeds"] * rows["n_images"]).sum()), int(rows["n_undefined"].sum())
    parts = [
        f"`{metric}` ({_WORDS[int(rows['better'].iloc[0])]})",
        f"leading: {_shares(leaders, len(cells))}",
        f"above the controls: {_shares(above, len(cells))}",
        f"a control leads in {led} of {len(cells)} cells",
        f"{undefined} of {values} values undefined",
    ]
    return f"{parts[0]}: {'; '.join(parts[1:])}."


def _leaders(cell: pd.DataFrame) -> list[str]:
    """Return the methods with the first rank of those that are no controls."""
    own = cell[cell["control"] == 0]
    return own.loc[own["rank"] == own["rank"].min(), "method"].tolist()


def _above_controls(cell: pd.DataFrame) -> list[str]:
    """Return the methods whose whole interval is better than that of each control; none where there is no control."""
    ends = pd.DataFrame(directed_ends(cell), cell.index, ["low", "high"])
    control = cell["control"] == 1
    return cell.loc[~control & (ends["low"] > ends.loc[control, "high"].max(skipna=False)), "method"].tolist()


def _control_leads(cell: pd.DataFrame) -> bool:
    """Say whether a control has a rank that no method that is none is better than."""
    first = cell.groupby("control")["rank"].min()
    return bool(np.isfinite(first.get(1, np.nan)) and not first.get(0, np.nan) < first[1])


def _counts(found: Iterable[Sequence[str]]) -> pd.Series:
    """Return in how many cells each name is, the most frequent first."""
    return pd.Series([name for names in found for name in names], dtype=object).value_counts(sort=True)


def _shares(counts: pd.Series, n_cells: int) -> str:
    """Return names by the number of cells that they are in, one number after the other; none where there are none."""
    groups = [(count, sorted(names.index)) for count, names in counts.groupby(counts, sort=False)]
    told = [f"{listed(names)} in {count} of {n_cells} cells" for count, names in sorted(groups, key=lambda group: -group[0])]
    return ", ".join(told) or "none"


def _ranks(shown: pd.DataFrame) -> Block:
    """Return the mean rank of each method, a row, by each metric, a column."""
    table = shown.pivot_table(index=["control", "method"], columns="metric", values="rank", sort=True)
    rows = [
        (f"`{method}`{' (c)' if control else ''}", *(f"{rank:.1f}" if np.isfinite(rank) else "-" for rank in ranks))
        for (control, method), ranks in zip(table.index, table.to_numpy(), strict=True)
    ]
    return Block(header=("method", *table.columns), rows=tuple(rows))


def _means(metric: str, rows: pd.DataFrame) -> Iterable[Block]:
    """Yield the means of one metric with their intervals, by method and cell."""
    yield Block(f"`{metric}`", level=3)
    cells = [(place, cell.set_index("method")) for place, cell in rows.groupby(["model", "head"], sort=True)]
    methods = rows.sort_values(["control", "method"])["method"].drop_duplicates().tolist()
    controls = set(rows.loc[rows["control"] == 1, "method"])
    lines = [
        (f"`{method}`{' (c)' if method in controls else ''}", *(_value(cell, method) for _, cell in cells)) for method in methods
    ]
    yield Block(header=("method", *(" ".join(place) for place, _ in cells)), rows=tuple(lines))


def _value(cell: pd.DataFrame, method: str) -> str:
    """Return the mean of a method with its interval and rank."""
    if method not in cell.index:
        return "-"
    row = cell.loc[method]
    rank = f" ({row['rank']:g})" if np.isfinite(row["rank"]) else ""
    return f"{number(row['mean'])} [{number(row['ci_low'])}, {number(row['ci_high'])}]{rank}"
