"""What one head's explanation is worth to another head."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.style import PAGE_WIDTH, short, title

_ABREAST = 3  # models in one line


@figure(
    "cross",
    tables=["summary"],
    metrics=["srg_matched"],
    cross=True,
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
)
def cross(study: Study) -> Figure:
    """SRG of the matched probability when the explanation of one head (rows) is scored by another (columns), mean over the
    methods that are no controls. The diagonal is each head's own explanation; a diagonal no better than its column means that
    the head needs none of its own.
    """
    columns = min(_ABREAST, len(study.models))
    lines = -(-len(study.models) // columns)
    sheet, axes = plt.subplots(lines, columns, figsize=(PAGE_WIDTH, 2.6 * lines), squeeze=False)
    for axis in axes.flat[len(study.models) :]:
        axis.set_axis_off()
    table, cells = study.shown("summary"), study.cells(study.own("srg_matched"))
    chosen = table[table["metric"] == "srg_matched"]
    chosen = chosen[chosen["method"].isin(study.explained())]
    limit = max(0.1, float(chosen.groupby(["model", "explained_by", "scored_by"])["mean"].mean().abs().max()))
    for place, model in enumerate(study.models):
        axis = axes.flat[place]
        heads = [head for name, head in cells if name == model]
        pivot = chosen[chosen["model"] == model].pivot_table(index="explained_by", columns="scored_by", values="mean")
        names = [title(head) for head in heads]
        values = pivot.reindex(index=heads, columns=heads)
        sns.heatmap(
            values,
            ax=axis,
            cmap="vlag",
            vmin=-limit,
            vmax=limit,
            annot=values.map(short),
            fmt="",
            annot_kws={"size": 7},
            xticklabels=names,
            yticklabels=names,
            square=True,
            cbar=False,
            linewidths=0.5,
        )
        axis.set(title=title(model), xlabel="scored by", ylabel="" if place % columns else "explained by")
        axis.set_xticks(axis.get_xticks(), names, rotation=35, ha="right")
        axis.tick_params(axis="y", rotation=0)
    return sheet
