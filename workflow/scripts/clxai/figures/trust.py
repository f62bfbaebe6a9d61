"""What speaks for the test itself, measure by measure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from clxai.figures.base import Study, figure
from clxai.figures.panels import legend
from clxai.figures.style import PAGE_WIDTH, look_of, title
from clxai.names import ALL

_MOST_INCHES = 9.4  # of a page's height
_COLUMNS = 3
_INSTRUMENTS = ("morf", "lerf", "srg")
_MOST_PARTS = 6
_BELOW_TICKS = 0.23  # inches


@figure("trust", tables=["trust"], subcategory="Trust", produces="aggregated", over=["image", "seed"])
def trust(study: Study) -> Figure:
    """Trust measures by model with 95 % intervals, a panel for each measure and a mark for each of its parts, for the first head
    that all models have and the first fill and units (measures that run over them: all); at most six parts of a measure, the
    others stand in trust.csv. Dashed: the value of no trust. Arrow: the direction of more trust. Open marks: references, trained
    on images with units removed.
    """
    rows, head = _shown(study)
    measures = list(dict.fromkeys(rows["measure"]))
    if not measures:
        sheet, axis = plt.subplots(figsize=(PAGE_WIDTH, 1.2))
        axis.set_axis_off()
        axis.text(0.5, 0.5, "no trust measure was computed for this study", ha="center", va="center")
        return sheet
    models = [model for model in study.models if model in set(rows["model"])]
    n_rows = -(-len(measures) // _COLUMNS)
    height = min(_MOST_INCHES, n_rows * (0.24 * len(models) + 0.75) + 0.5)
    sheet, axes = plt.subplots(n_rows, _COLUMNS, figsize=(PAGE_WIDTH, height), sharey=True, squeeze=False)
    for axis, measure in zip(axes.flat, measures, strict=False):
        _panel(axis, rows[rows["measure"] == measure], models, study.references)
    for axis in axes.flat[len(measures) :]:
        axis.remove()
    axes[0, 0].set_yticks(range(len(models)), [title(model) for model in models])
    axes[0, 0].set_ylim(len(models) - 0.5, -0.5)
    sheet.supxlabel(f"head {title(head)}" if head else "", size=8.5)
    legend(sheet, look_of(_INSTRUMENTS), [part for part in _INSTRUMENTS if part in set(rows["part"])], line=False)
    return sheet


def _shown(study: Study) -> tuple[pd.DataFrame, str]:
    """Return the rows of one head, fill and units, or of all together, and that head; parts that are not named are empty."""
    table = study.tables["trust"]
    head = next(iter([*study.shared_heads, *study.heads]), "")
    chosen = table["fill"].isin([study.fill, ALL]) & table["units"].isin([study.units, ALL]) & table["head"].isin([head, ALL])
    return table[chosen & np.isfinite(table["value"])].fillna({"part": ""}), head


def _parts(rows: pd.DataFrame) -> list[str]:
    """Return the parts of a measure that are shown: the instruments where it has them, else its own, at most six."""
    parts = list(dict.fromkeys(rows["part"]))
    return [*_INSTRUMENTS] if set(_INSTRUMENTS) <= set(parts) else parts[:_MOST_PARTS]


def _panel(axis: Axes, rows: pd.DataFrame, models: Sequence[str], references: Sequence[str]) -> None:
    """Draw one measure: a row for each model, a mark for each part; parts of its own are named below it."""
    parts = _parts(rows)
    instruments = set(parts) <= set(_INSTRUMENTS)
    looks = look_of(_INSTRUMENTS if instruments else parts)
    rows, first = rows[rows["part"].isin(parts)], rows.iloc[0]
    if np.isfinite(first["null"]):
        axis.axvline(first["null"], color="0.35", ls="--", lw=1)
    for row in rows.itertuples():
        place = models.index(row.model) + (parts.index(row.part) - (len(parts) - 1) / 2) * 0.7 / max(len(parts), 2)
        look = {"color": looks[row.part]["color"], "marker": looks[row.part]["marker"]}
        fill = "white" if row.model in references else look["color"]
        reach = np.nan_to_num(np.maximum([[row.value - row.ci_low], [row.ci_high - row.value]], 0))
        axis.errorbar(row.value, place, xerr=reach, ls="", ms=3.5, lw=0.9, mfc=fill, **look)
    arrow = {1: " (more trust \N{RIGHTWARDS ARROW})", -1: " (\N{LEFTWARDS ARROW} more trust)"}.get(int(first["better"]), "")
    axis.set_title(f"{title(str(first['measure']))}{arrow}")
    axis.margins(x=0.08)
    if not instruments and any(parts):
        _name_parts(axis, parts, looks)


def _name_parts(axis: Axes, parts: Sequence[str], looks: Mapping[str, Mapping[str, object]]) -> None:
    """Put a small legend of these parts below a panel."""
    handles = [
        plt.Line2D([], [], ls="", ms=3.5, color=looks[part]["color"], marker=looks[part]["marker"], label=title(part))
        for part in parts
    ]
    style = {"fontsize": 6.5, "handletextpad": 0.1, "columnspacing": 0.8, "borderpad": 0, "labelspacing": 0.2}
    below = axis.transAxes + ScaledTranslation(0, -_BELOW_TICKS, axis.figure.dpi_scale_trans)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below}
    axis.legend(handles=handles, ncols=2 if len(parts) > 3 else 3, **place, **style)
