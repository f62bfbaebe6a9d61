"""What analyses found beside the maps, quantity by quantity."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import legend, offsets
from clxai.figures.style import PAGE_WIDTH, look_of, title
from clxai.names import ALL

_ABREAST = 2  # panels
_LINE, _FRAME = 0.17, 0.67  # inches: of a place, of a panel around its places
_PLACE = ["head", "layer", "features", "task", "direction", "concept"]


@figure(
    "analyses",
    tables=["analyses"],
    subcategory="Analyses",
    payloads=["table", "neighbours", "counterfactual", "layer_effects"],
    produces="aggregated",
    over=["image", "seed"],
)
def analyses(study: Study) -> Figure:
    """What each analysis of the study found, a panel for each of its quantities, by head, layer, features, task, direction or
    concept: means with 95 % intervals over images and seeds ({n_seeds}), by model. Left out are p-values, numbers of each class,
    and quantities that are the same everywhere.
    """
    panels = _panels(study.tables["analyses"])
    lines = [panels[start : start + _ABREAST] for start in range(0, len(panels), _ABREAST)] or [[]]
    ratios = [max([len(_places(rows)) for rows in line], default=1) * _LINE + _FRAME for line in lines]
    sheet, axes = plt.subplots(len(lines), _ABREAST, figsize=(PAGE_WIDTH, sum(ratios) + 0.3), height_ratios=ratios, squeeze=False)
    looks = look_of(study.models)
    for axis, rows in zip(axes.flat, panels, strict=False):
        _draw(axis, rows, study.models, looks)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    legend(sheet, looks, study.models, line=False)
    return sheet


def _panels(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of each quantity that has a mean, in the order of the table, with its places as `place`."""
    means = table[(table["seed"].astype(str) == ALL) & table["class"].isna()].copy()
    means["place"] = [_label(row) for row in means[_PLACE].itertuples(index=False)]
    groups = [rows for _, rows in means.groupby(["analysis", "quantity"], sort=False)]
    return [rows for rows in groups if rows["value"].round(6).nunique() > 1 or len(rows) == 1]


def _label(names: Sequence[object]) -> str:
    """Return the place along the axes of a quantity in words; the sample as a whole where it has none."""
    return ", ".join(title(str(name)) for name in names if not pd.isna(name)) or "all"


def _places(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows["place"]))


def _draw(axis: Axes, rows: pd.DataFrame, models: Sequence[str], looks: dict[str, dict[str, object]]) -> None:
    """Draw one quantity: a line a place, a mark a model."""
    places = {place: number for number, place in enumerate(_places(rows))}
    for offset, model in zip(offsets(len(models)), models, strict=True):
        own = rows[rows["model"] == model]
        reach = np.nan_to_num([own["value"] - own["ci_low"], own["ci_high"] - own["value"]]).clip(min=0)
        mark = {"color": looks[model]["color"], "marker": looks[model]["marker"], "ms": 4, "lw": 0.9, "ls": ""}
        axis.errorbar(own["value"], own["place"].map(places) + offset, xerr=reach, **mark)
    axis.set_yticks(range(len(places)), list(places))
    axis.set_ylim(len(places) - 0.5, -0.5)
    first = rows.iloc[0]
    unit = "" if str(first["unit"]) == "1" else f" ({first['unit']})"
    axis.set_title(f"{title(first['analysis'])}\n{title(first['quantity'])}{unit}")
