"""Mean curves while units are removed or inserted, by model and head."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import legend
from clxai.figures.style import PAGE_WIDTH, look_of, title


@figure("deletion", tables=["curves"], payloads=["attributions"], produces="aggregated", over=["image", "seed"])
def deletion(study: Study) -> Figure:
    """Probability of the target class, at the fitted temperature, while units are replaced (fill: {fill}), most important
    first. Each head is explained and scored by itself. Bands: 95 % random-effects intervals over seeds and images. The grey
    dotted line is the random attribution: a curve below it finds what the head uses.
    """
    return _curve_grid(study, "probability_matched", "morf", "fraction removed, most important first", "probability (matched)")


@figure("insertion", tables=["curves"], payloads=["attributions"], produces="aggregated", over=["image", "seed"])
def insertion(study: Study) -> Figure:
    """Probability of the target class, at the fitted temperature, while the most important units are put back into a fully
    replaced image (fill: {fill}). Bands: 95 % random-effects intervals over seeds and images. A curve above the grey dotted
    line of the random attribution finds what suffices.
    """
    return _curve_grid(study, "probability_matched", "lerf", "fraction inserted, most important first", "probability (matched)")


@figure("drift", tables=["curves"], payloads=["attributions"], produces="aggregated", over=["image", "seed"])
def drift(study: Study) -> Figure:
    """Distance of the embedding from the clean image's, in units of the mean distance between class centroids, while units
    are removed, most important first. A good explanation moves the embedding earlier than the random one.
    """
    return _curve_grid(study, "drift", "morf", "fraction removed, most important first", "drift / centroid distance")


def _curve_grid(study: Study, quantity: str, order: str, x_label: str, y_label: str) -> Figure:
    shape = (len(study.models), len(study.heads))
    size = (PAGE_WIDTH, 1.55 * shape[0] + 0.8)
    sheet, axes = plt.subplots(*shape, figsize=size, sharex=True, sharey=True, squeeze=False)
    table = study.shown("curves")
    curves = table[(table["quantity"] == quantity) & (table["order"] == order)]
    cells, groups, looks = study.cells(curves), dict(iter(curves.groupby(["model", "head", "method"]))), look_of(study.methods)
    for row, model in enumerate(study.models):
        for column, head in enumerate(study.heads):
            axis = axes[row, column]
            if row == 0:
                axis.set_title(title(head))
            if (model, head) not in cells:
                axis.text(0.5, 0.5, "no such head", transform=axis.transAxes, ha="center", va="center", color="0.4", size=7.5)
                continue
            for method in (name for name in study.methods if (model, head, name) in groups):
                curve = groups[model, head, method].sort_values("fraction")
                place = curve["fraction"] if order == "morf" else 1 - curve["fraction"]
                look = looks[method]
                axis.plot(place, curve["mean"], color=look["color"], ls=look["linestyle"], lw=1.3)
                axis.fill_between(place, curve["ci_low"], curve["ci_high"], color=look["color"], alpha=0.18, lw=0)
            axis.set(xlim=(0, 1))
        axes[row, 0].set_ylabel(title(model))
    sheet.supxlabel(x_label, size=8.5)
    sheet.supylabel(y_label, size=8.5)
    legend(sheet, looks, study.methods, line=True)
    return sheet
