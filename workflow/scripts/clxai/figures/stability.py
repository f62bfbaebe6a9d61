"""How stable maps are, against what they are worth."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import legend
from clxai.figures.style import PAGE_WIDTH, look_of, title

_ABREAST = 3  # models
_SHOWN = {"max_sensitivity": "largest relative change of the map", "rank_mean": "rank correlation of the orders"}


@figure(
    "stability",
    tables=["stability"],
    subcategory="Trust",
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
    options={"head": None},
)
def stability(study: Study, head: str | None) -> Figure:
    """SRG of each method (fill {fill}) against the stability of its maps when a little noise is added to the image: the largest
    relative change of the map over all draws (top, further left is more stable) and the mean rank correlation of the orders of
    removal (below, further right is more stable), the first head that all models have, three models at most. Means with 95 %
    intervals over seeds and images. Open: controls. Only what is high is worth being stable: a map that is the same for all
    images lies at the edge.
    """
    head = head or next(iter([*study.shared_heads, *study.heads]))
    table = study.tables["stability"]
    rows = table[(table["units"] == study.units) & (table["head"] == head)]
    models = [model for model in study.models if model in set(rows["model"])][:_ABREAST]
    methods = [name for name in study.methods if name in set(rows["method"])]
    sheet, axes = plt.subplots(len(_SHOWN), len(models), figsize=(PAGE_WIDTH, 4.6), sharex="row", sharey=True, squeeze=False)
    looks = look_of(methods)
    for line, (measure, label) in enumerate(_SHOWN.items()):
        for column, model in enumerate(models):
            axis = axes[line, column]
            for row in rows[(rows["measure"] == measure) & (rows["model"] == model)].itertuples():
                look = looks[row.method]
                reach = [
                    [[row.mean - row.ci_low], [row.ci_high - row.mean]],
                    [[row.srg - row.srg_ci_low], [row.srg_ci_high - row.srg]],
                ]
                across, up = np.nan_to_num(np.maximum(reach, 0))
                inside = "white" if row.method in study.controls else look["color"]
                mark = {"color": look["color"], "marker": look["marker"], "mfc": inside, "ms": 4.5, "lw": 0.9, "ls": ""}
                axis.errorbar(row.mean, row.srg, xerr=across, yerr=up, **mark)
            axis.set_xlabel(label)
            axis.axhline(0, color="0.7", lw=0.8, zorder=0)
            axis.set_title(title(model) if line == 0 else "")
        axes[line, 0].set_ylabel("SRG")
    legend(sheet, looks, methods, line=False)
    return sheet
