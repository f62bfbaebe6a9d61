"""How far models differ."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import legend, name_methods, offsets
from clxai.figures.style import PAGE_WIDTH, look_of, title
from clxai.measures.levels import ALPHA, CONFIRMATORY
from clxai.names import ALL, REFERENCE

_LARGEST = {"color": "0.35", "ls": (0, (4, 2)), "lw": 0.8}
_BOX = {"color": "black", "ls": "", "marker": "s", "ms": 8, "mfc": "none", "mew": 0.8}


@figure(
    "contrasts",
    tables=["contrasts"],
    metrics=["srg_matched"],
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
)
def contrasts(study: Study) -> Figure:
    """Difference in SRG of the matched probability between models, by method and head (open marks: not different from 0 after
    Holm's correction), with 95 % random-effects intervals over seeds and images, paired by both. Black: mean over the heads
    that both models have; row *all methods*: mean over the methods that are no controls. Last rows, grey names: controls, which
    explain nothing; dashed: their largest difference. What controls differ by is no matter of explanations. Grey band: the margin
    of equivalence, {margin}. A dot: the baseline of the method is the fill, {fill}. Boxed: declared beforehand; all else is
    exploratory.
    """
    table = study.shown("contrasts")
    rows = table[(table["quantity"] == "value") & (table["metric"] == "srg_matched")]
    pairs = list(dict.fromkeys(zip(rows["model"], rows["minus"], strict=True)))
    methods, controls = _shown(study)
    heads = [*(head for head in study.heads if (rows["head"] == head).any()), ALL]
    n_columns = min(3, max(1, len(pairs)))
    n_rows = max(1, -(-len(pairs) // n_columns))
    size = (PAGE_WIDTH, n_rows * (0.32 * len(methods + controls) + 0.4) + 1)
    sheet, axes = plt.subplots(n_rows, n_columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(pairs) :]:
        axis.set_axis_off()
    if not pairs:
        axes[0, 0].text(0.5, 0.5, "no pair of models with a common head", ha="center", va="center")
        return sheet
    looks = {**look_of(heads), ALL: {"color": "black", "marker": "D"}}
    for axis, pair in zip(axes.flat, pairs, strict=False):
        own = rows[(rows["model"] == pair[0]) & (rows["minus"] == pair[1])]
        for offset, head in zip(4 * offsets(len(heads)) / len(heads), heads, strict=True):
            _forest(axis, own[own["head"] == head], [*methods, *controls], offset, looks[head])
        axis.set_title(f"{title(pair[0])} - {title(pair[1])}")
        _frame(axis, study, own)
    sheet.supxlabel("difference in SRG of the matched probability", size=8.5)
    more = [plt.Line2D([], [], **_LARGEST, label="largest of a control")] if controls else []
    more += [plt.Line2D([], [], **_BOX, label="declared")] if (rows["family"] == CONFIRMATORY).any() else []
    legend(sheet, looks, heads, line=False, more=more)
    return sheet


def _shown(study: Study) -> tuple[list[str], list[str]]:
    """Return the rows above, the methods and the mean over them where there are any, and those below, the controls but random."""
    explained = [method for method in study.methods if method not in study.controls]
    return [*explained, *([ALL] if explained else [])], [method for method in study.controls if method != REFERENCE]


def _frame(axis: Axes, study: Study, rows: pd.DataFrame) -> None:
    """Name the rows of a panel, and draw the margin, lines between kinds of rows, and the largest difference of a control."""
    methods, controls = _shown(study)
    matched = [method for method, fills in study.matched.items() if study.fill in fills]
    name_methods(axis, [*methods, *controls], controls, matched)
    axis.axvspan(-study.margin, study.margin, color="0.85", lw=0, zorder=0)
    axis.axvline(0, color="0.35", ls=":", lw=1)
    axis.set_ylim(len(methods + controls) - 0.4, -0.6)
    axis.axhline(len(methods) - 1.5, color="0.5", lw=0.6)
    if controls:
        axis.axhline(len(methods) - 0.5, color="0.5", lw=0.6)
        own = rows[rows["method"].isin(controls) & (rows["head"] == ALL)]
        axis.axvline(max(own["difference"], key=abs, default=np.nan), **_LARGEST, zorder=0)


def _forest(axis: Axes, rows: pd.DataFrame, methods: Sequence[str], offset: float, look: Mapping[str, object]) -> None:
    """Draw one difference with its interval for each method; filled where zero is outside after Holm's correction."""
    for row in rows.itertuples():
        place = methods.index(row.method) + offset
        sure = row.p_holm < ALPHA
        style = {"color": look["color"], "marker": look["marker"], "mfc": look["color"] if sure else "white"}
        axis.errorbar(
            row.difference, place, xerr=[[row.difference - row.ci_low], [row.ci_high - row.difference]], ms=3.5, lw=0.9, **style
        )
        if row.family == CONFIRMATORY:
            axis.plot(row.difference, place, **_BOX)
