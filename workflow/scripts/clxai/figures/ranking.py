"""Which methods exceed the random attribution, and by how much."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import BEST_CONTROL, MATCHED, forest, legend, name_methods, offsets
from clxai.figures.style import PAGE_WIDTH, look_of, title

_FEW = 8  # methods whose names leave room for four panels beside each other


@figure(
    "ranking",
    tables=["summary"],
    metrics=["srg_matched"],
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
)
def ranking(study: Study) -> Figure:
    """Methods ranked within each head by their SRG in excess of the random attribution (same model, seed, head and image),
    with 95 % intervals. Grey names: controls, which explain nothing. Dashed: the best control that knows nothing of the network,
    by model. Filled marks: the baseline of the method is the fill, {fill}; such methods may lead for that reason alone.
    """
    rows = study.own("srg_matched")
    methods = study.compared()
    n_columns = min(len(study.heads), 4 if len(methods) <= _FEW else 2)
    n_rows = -(-len(study.heads) // n_columns)
    size = (PAGE_WIDTH, n_rows * (max(0.3 if n_rows == 1 else 0.2, 0.055 * len(study.models)) * len(methods) + 0.3) + 0.9)
    sheet, axes = plt.subplots(n_rows, n_columns, figsize=size, sharex=True, squeeze=False)
    looks = look_of(study.models)
    for axis in axes.flat[len(study.heads) :]:
        axis.set_axis_off()
    for axis, head in zip(axes.flat, study.heads, strict=False):
        own = rows[(rows["head"] == head) & rows["method"].isin(methods)]
        ranked = own.groupby("method")["excess"].mean().sort_values().index.tolist()
        for offset, model in zip(offsets(len(study.models)), study.models, strict=True):
            line = own[own["model"] == model].set_index("method", drop=False).reindex(ranked).dropna(subset=["excess"])
            if len(line):
                places = np.array([ranked.index(method) for method in line.index]) - offset
                forest(axis, line, ("excess", "excess_ci_low", "excess_ci_high"), places, looks[model])
                best = study.best_control(rows[(rows["head"] == head) & (rows["model"] == model)], "excess")
                axis.axvline(best, color=looks[model]["color"], ls=(0, (4, 2)), lw=0.8, zorder=0)
        axis.axvline(0, color="0.35", ls=":", lw=1)
        name_methods(axis, ranked, study.controls)
        axis.set_title(title(head))
    sheet.supxlabel("SRG of the matched probability, excess over random", size=8.5)
    legend(sheet, looks, study.models, line=False, more=[MATCHED, *([BEST_CONTROL] if len(study.blind) > 1 else [])])
    return sheet
