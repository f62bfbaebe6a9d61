"""How each method ranks by each metric."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import name_methods
from clxai.figures.style import PAGE_WIDTH, title
from clxai.names import ALL

# Columns: what is asked, and the numbers that answer it, as far as the study has them.
_SHOWN = {
    "flipping": ("srg_matched", "srg_log_odds", "auc_deletion_matched", "auc_insertion_matched", "monotonicity"),
    "sets of units": ("faithfulness_correlation", "infidelity_scaled", "sensitivity_n"),
    "evidence": ("relevance_mass", "relevance_rank"),
    "the map": ("sparseness", "complexity", "active_mass"),
    "noise": ("average_sensitivity", "max_sensitivity", "rank_mean"),
    "other class": ("class_cosine", "class_spearman", "class_ssim"),
}
_ROW, _LIGHT = 0.19, 0.55  # inches of a method; share of the colours above which a text is dark
_SIGNS = {1: "↑", -1: "↓"}


@figure(
    "metric_ranks",
    tables=["metric_ranks"],
    per="model",
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
    options={"head": None},
)
def metric_ranks(study: Study, head: str | None) -> Figure:
    """Rank of each method by each metric for {model}, 1 the best in the direction that the metric declares (↑ higher, ↓ lower),
    mean ranks for ties; fill {fill}, the first head that all models have. Dark: first, light: last. Controls below the line in
    italics: a metric by which one of them leads cannot tell an explanation from a map without a model. With a star: undefined for
    some images, which its mean leaves out. Empty: undefined for all, or not measured. Means over seeds and images;
    metric_ranks.csv has their intervals and all other metrics.
    """
    head = head or (*study.shared_heads, *study.heads)[0]
    table = study.tables["metric_ranks"]
    own = (table["model"] == (study.model or study.models[0])) & (table["head"] == head)
    rows = table[own & table["units"].isin([study.units, ALL]) & table["fill"].isin([study.fill, ALL])]
    rows = rows[rows["method"].isin(study.methods)]
    present = set(rows["metric"])
    groups = {group: [name for name in names if name in present] for group, names in _SHOWN.items()}
    metrics = [name for names in groups.values() for name in names]
    ranks = rows.pivot_table(index="method", columns="metric", values="rank").reindex(columns=metrics)
    mean = ranks.mean(axis=1)
    methods = study.ordered(sorted(study.methods, key=lambda name: mean.get(name, np.inf)))
    sheet, axis = plt.subplots(figsize=(PAGE_WIDTH, _ROW * len(methods) + 1.6))
    _draw(axis, rows, ranks.reindex(methods), methods, metrics)
    better = rows.groupby("metric")["better"].first()
    axis.set_xticks(range(len(metrics)), [f"{title(name)} {_SIGNS[better[name]]}" for name in metrics], rotation=40, ha="right")
    name_methods(axis, methods, study.controls)
    axis.axhline(sum(method not in study.controls for method in methods) - 0.5, color="black", lw=1)
    _name_groups(axis, list(groups.values()), list(groups))
    axis.set_title(f"{title(study.model or study.models[0])}, {title(head)} head", loc="left", pad=18)
    return sheet


def _draw(axis: Axes, rows: pd.DataFrame, ranks: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str]) -> None:
    """Draw the ranks as colours and numbers, scaled in each column from 1 to the number of methods that it ranks."""
    most = rows.groupby("metric")["n_methods"].first().reindex(metrics).to_numpy(dtype=float)
    shade = (ranks.to_numpy(dtype=float) - 1) / np.maximum(most - 1, 1)
    axis.imshow(shade, cmap="Blues_r", vmin=0, vmax=1.15, aspect="auto")  # the last are not quite white
    undefined = rows.pivot_table(index="method", columns="metric", values="n_undefined").reindex(methods, columns=metrics)
    for (line, column), rank in np.ndenumerate(ranks.to_numpy(dtype=float)):
        if np.isfinite(rank):
            text = f"{rank:g}{'*' if undefined.iloc[line, column] > 0 else ''}"
            colour = "black" if shade[line, column] > _LIGHT else "white"
            axis.text(column, line, text, ha="center", va="center", size=6.5, color=colour)
    axis.grid(visible=False)


def _name_groups(axis: Axes, groups: Sequence[Sequence[str]], names: Sequence[str]) -> None:
    """Name above the columns what each group of metrics asks, and divide the groups."""
    start = 0
    for group, name in zip(groups, names, strict=True):
        if group:
            middle = start + (len(group) - 1) / 2
            axis.annotate(name, (middle, 1), (0, 3), ("data", "axes fraction"), "offset points", ha="center", size=7)
            start += len(group)
            axis.axvline(start - 0.5, color="white", lw=3)
