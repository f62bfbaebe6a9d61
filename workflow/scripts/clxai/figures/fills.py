"""Whether the order of the methods holds whatever is put in and however images are cut."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import BEST_CONTROL, MATCHED, forest, legend, name_methods, offsets
from clxai.figures.style import PAGE_WIDTH, look_of, title


@figure(
    "fills",
    tables=["summary"],
    metrics=["srg_matched"],
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
    options={"head": None},
)
def fills(study: Study, head: str | None) -> Figure:
    """SRG of the matched probability of every method, by fill (columns) and units (rows), with 95 % intervals, of the head that
    is named right above. Methods are in the order of their mean over all panels. Grey names: controls, which explain
    nothing. Dashed: the best control that knows nothing of the network, by model. Filled marks: the baseline of the method is
    the fill. A ranking is one only if it holds in every panel, among open marks too.
    """
    head = head or (*study.shared_heads, *study.heads)[0]
    rows = study.tables["summary"]
    own = (rows["explained_by"] == head) & (rows["scored_by"] == head) & (rows["metric"] == "srg_matched")
    rows = rows[own]
    means = rows.groupby("method")["mean"].mean()
    methods = study.ordered(sorted(study.methods, key=lambda name: -means[name]))
    height = max(0.22, 0.07 * len(study.models)) * len(methods) + 0.4
    size = (PAGE_WIDTH, len(study.cuts) * height + 1)
    panels = {"figsize": size, "sharex": True, "sharey": True, "squeeze": False}
    sheet, axes = plt.subplots(len(study.cuts), len(study.fills), **panels)
    for line, units in zip(axes, study.cuts, strict=True):
        for axis, fill in zip(line, study.fills, strict=True):
            _panel(axis, study, rows[(rows["units"] == units) & (rows["fill"] == fill)], methods)
            axis.set_title(f"{title(fill)}, {title(units)}")
    sheet.supxlabel(f"SRG of the matched probability, {title(head)} head", size=8.5)
    legend(sheet, look_of(study.models), study.models, line=False, more=(MATCHED, BEST_CONTROL))
    return sheet


def _panel(axis: Axes, study: Study, rows: pd.DataFrame, methods: list[str]) -> None:
    """Draw the models' values of one fill and one setting of units."""
    looks, n_explained = look_of(study.models), sum(method not in study.controls for method in methods)
    for offset, model in zip(offsets(len(study.models)), study.models, strict=True):
        own = rows[rows["model"] == model]
        shown, best = own[own["method"].isin(methods)], study.best_control(own, "mean")
        places = np.array([methods.index(method) for method in shown["method"]]) + offset
        forest(axis, shown, ("mean", "ci_low", "ci_high"), places, looks[model])
        axis.axvline(best, color=looks[model]["color"], ls=(0, (4, 2)), lw=0.8, zorder=0)
    axis.axvline(0, color="0.35", ls=":", lw=1)
    axis.axhline(n_explained - 0.5, color="0.5", lw=0.6)
    name_methods(axis, methods, study.controls)
    axis.set_ylim(len(methods) - 0.4, -0.6)
