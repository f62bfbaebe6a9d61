"""What maps are worth, and how alike they look, while ever more of the network is random."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.base import Study, figure
from clxai.figures.panels import BEST_CONTROL, legend
from clxai.figures.style import PAGE_WIDTH, look_of, title
from clxai.measures.reinitialised import LABELS
from clxai.names import ALL, REFERENCE

_ABREAST = 3  # models
_TRAINED = "trained"
_WORTH = "worth"  # of a map to the trained network, its SRG there
_SIMILAR = {"spearman": "rank correlation", "ssim": "SSIM"}
_MAGNITUDES = plt.Line2D([], [], color="0.35", ls="--", lw=1, label="of magnitudes")
_BETWEEN = plt.Line2D([], [], color="0.35", ls="", marker="D", mfc="none", label="one part alone, or labels")


@figure(
    "randomisation",
    tables=["summary", "similarity"],
    metrics=["srg_matched"],
    subcategory="Trust",
    payloads=["attributions"],
    produces="aggregated",
    over=["image", "seed"],
    options={"head": None},
)
def randomisation(study: Study, head: str | None) -> Figure:
    """SRG on the trained network of its own maps and of those of copies with ever more parts drawn anew, the deepest part first
    (top), and how alike these maps are to the own ones: rank correlation of units and structural similarity (below). Means over
    seeds (trainings and re-initialisations) and images with 95 % intervals, fill {fill}, the first head that all models have,
    three models at most. A map to which training gave something falls at the top, towards random (dotted; dashed: the best
    control); whether it looks alike says little.
    """
    head = head or next(iter([*study.shared_heads, *study.heads]))
    rows = _worth(study, head)
    models = [model for model in study.models if model in set(rows["model"])][:_ABREAST]
    sheet, axes = plt.subplots(
        1 + len(_SIMILAR), len(models), figsize=(PAGE_WIDTH, 6.2), sharex="col", sharey="row", squeeze=False
    )
    steps = _cascade(rows["random"])
    methods = [name for name in study.methods if name in set(rows["of"])]
    for column, model in enumerate(models):
        for line, measure in enumerate([_WORTH, *_SIMILAR]):
            _panel(axes[line, column], rows[(rows["model"] == model) & (rows["head"] == head)], measure, methods, steps)
        own = _controls(study, model, head)
        axes[0, column].axhline(float(own[own["method"] == REFERENCE]["mean"].iloc[0]), color="0.35", ls=":", lw=1)
        if np.isfinite(best := study.best_control(own, "mean")):
            axes[0, column].axhline(best, color="0.35", ls=BEST_CONTROL.get_linestyle(), lw=1)
        axes[0, column].set_title(title(model))
        axes[-1, column].set_xlabel("drawn anew, down to")
    for axis, label in zip(axes[:, 0], ["SRG on the trained network", *_SIMILAR.values()], strict=True):
        axis.set_ylabel(label)
    beside = [] if set(rows["random"]) <= {*steps} else [_BETWEEN]
    legend(sheet, look_of(methods), methods, line=False, more=[BEST_CONTROL, _MAGNITUDES, *beside])
    return sheet


def _worth(study: Study, head: str) -> pd.DataFrame:
    """Return SRG and similarities as rows of one kind, those of the own maps as random `trained`: similarity 1."""
    names = ["model", "method", "head"]
    own = study.own("srg_matched")
    own = own[own["head"] == head][[*names, "mean", "ci_low", "ci_high"]]
    similar = study.tables["similarity"]
    similar = similar[similar["units"].isin([study.units, ALL]) & (similar["head"] == head)]
    lent = similar[["model", "method", "of", "random"]].drop_duplicates()
    worth = own.merge(lent, on=["model", "method"])
    trained = own.merge(lent[["model", "of"]].drop_duplicates(), left_on=["model", "method"], right_on=["model", "of"])
    srg = pd.concat([worth, trained.assign(random=_TRAINED)]).assign(measure=_WORTH)
    same = [
        trained.assign(random=_TRAINED, measure=measure, mean=1.0, ci_low=1.0, ci_high=1.0)
        for measure in similar["measure"].unique()
    ]
    return pd.concat([srg, *same, similar], ignore_index=True)


def _controls(study: Study, model: str, head: str) -> pd.DataFrame:
    """Return the rows of the SRG of what knows nothing of the network."""
    own = study.own("srg_matched")
    return own[(own["model"] == model) & (own["head"] == head) & own["method"].isin([REFERENCE, *study.blind])]


def _cascade(random: pd.Series) -> list[str]:
    """Return what is random at each step from nothing to the most, each a part of the next; others stand beside it."""
    sets = {name: {*name.split("+")} for name in random.unique() if name not in (_TRAINED, LABELS)}
    chain: list[str] = []
    for name in sorted(sets, key=lambda one: len(sets[one]), reverse=True):
        if not chain or sets[name] < sets[chain[-1]]:
            chain.append(name)
    return [_TRAINED, *reversed(chain)]


def _panel(axis: Axes, rows: pd.DataFrame, measure: str, methods: Sequence[str], steps: Sequence[str]) -> None:
    """Draw one measure: a line for each method over the cascade, marks for what is random in another way."""
    places = {name: place for place, name in enumerate(steps)}
    added = {(name.split("+")[-1]): place for name, place in places.items()}  # the part that each step adds
    looks = look_of(methods)
    for number, method in enumerate(methods):
        look, shift = looks[method], (number - (len(methods) - 1) / 2) * 0.08
        for which, dash in ((measure, "-"), (f"{measure}_abs", "--")):
            own = rows[(rows["measure"] == which) & (rows["of"] == method)]
            line = own[own["random"].isin(steps)].assign(place=lambda table: table["random"].map(places)).sort_values("place")
            thin = 0.8 if which != measure else 1.3
            axis.plot(line["place"] + shift, line["mean"], color=look["color"], ls=dash, lw=thin)
            beside = own[~own["random"].isin(steps)]
            beside = beside.assign(place=beside["random"].map({**added, LABELS: len(steps)}))
            if which == measure:
                _intervals(axis, line, shift, {"color": look["color"], "marker": look["marker"], "ms": 3.5})
                _intervals(axis, beside, shift, {"color": look["color"], "marker": "D", "mfc": "none", "ms": 3.5})
    names = [_TRAINED, *(title(name.split("+")[-1]) for name in steps[1:])]
    names += ["permuted labels"] if (rows["random"] == LABELS).any() else []
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.axhline(0, color="0.7", lw=0.8, zorder=0)


def _intervals(axis: Axes, rows: pd.DataFrame, shift: float, look: dict[str, object]) -> None:
    """Draw means with their intervals at their places, moved aside by a shift."""
    reach = np.abs(rows[["ci_low", "ci_high"]].to_numpy().T - rows["mean"].to_numpy())
    axis.errorbar(rows["place"] + shift, rows["mean"], yerr=np.nan_to_num(reach), ls="", lw=0.9, **look)
