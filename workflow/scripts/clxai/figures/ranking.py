"""Which methods exceed the random attribution, and by how much."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import legend, offsets
from clxai.figures.style import PAGE_WIDTH, look_of, title


@figure("ranking", tables=["summary"], metrics=["srg_matched"])
def ranking(study: Study) -> Figure:
    """Methods ranked within each head by their SRG in excess of the random attribution (same model, seed, head and image),
    with 95 % intervals.
    """
    rows = study.own("srg_matched")
    methods = study.compared()
    size = (PAGE_WIDTH, 0.3 * len(methods) + 1.2)
    sheet, axes = plt.subplots(1, len(study.heads), figsize=size, sharex=True, squeeze=False)
    looks = look_of(study.models)
    for axis, head in zip(axes[0], study.heads, strict=True):
        own = rows[(rows["head"] == head) & rows["method"].isin(methods)]
        ranked = own.groupby("method")["excess"].mean().sort_values().index.tolist()
        for offset, model in zip(offsets(len(study.models)), study.models, strict=True):
            line = own[own["model"] == model].set_index("method").reindex(ranked).dropna(subset=["excess"])
            if len(line):
                place = np.array([ranked.index(method) for method in line.index]) - offset
                reach = [line["excess"] - line["excess_ci_low"], line["excess_ci_high"] - line["excess"]]
                look = {"color": looks[model]["color"], "marker": looks[model]["marker"]}
                axis.errorbar(line["excess"], place, xerr=np.abs(reach), ls="", ms=4, mfc="none", lw=1, **look)
        axis.axvline(0, color="0.35", ls=":", lw=1)
        axis.set_yticks(range(len(ranked)), [title(method) for method in ranked])
        axis.set_title(title(head))
    sheet.supxlabel("SRG of the matched probability, excess over random", size=8.5)
    legend(sheet, looks, study.models, line=False)
    return sheet
