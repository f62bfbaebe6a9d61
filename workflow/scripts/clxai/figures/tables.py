"""Figures drawn from the tables of a study: accuracy, curves, SRG, cross-scoring, ranking, contrasts, drift."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clxai.figures.style import PAGE_WIDTH, look_of, title
from clxai.names import ALL, REFERENCE


@dataclass(frozen=True)
class Tables:
    """The tables of a study and the order in which its names are shown; the figures show one `fill`, and the `margin` of SRG."""

    heads: pd.DataFrame
    summary: pd.DataFrame
    curves: pd.DataFrame
    contrasts: pd.DataFrame
    models: Sequence[str]
    head_names: Sequence[str]
    methods: Sequence[str]
    fill: str
    margin: float

    def own(self, metric: str) -> pd.DataFrame:
        """Return the rows of one metric for heads scored by themselves."""
        table = self.summary
        chosen = (table["metric"] == metric) & (table["fill"] == self.fill) & (table["explained_by"] == table["scored_by"])
        return table[chosen].rename(columns={"scored_by": "head"})

    def cells(self) -> list[tuple[str, str]]:
        """Return the (model, head) pairs that exist, in the order shown."""
        present = set(map(tuple, self.own("srg")[["model", "head"]].drop_duplicates().to_numpy()))
        return [(model, head) for model in self.models for head in self.head_names if (model, head) in present]


def plot_accuracy(tables: Tables) -> Figure:
    """Test accuracy and calibration error by head and model: mean over seeds, each seed as a small mark."""
    figure, axes = plt.subplots(1, 3, figsize=(PAGE_WIDTH, 2.7))
    test = tables.heads[tables.heads["split"] == "test"]
    looks = look_of(tables.models)
    panels = (
        ("accuracy", "test accuracy (%)", 100),
        ("ece", "ECE, raw (%)", 100),
        ("ece_matched", "ECE, fitted temperature (%)", 100),
    )
    for axis, (column, label, factor) in zip(axes, panels, strict=True):
        for offset, model in zip(_offsets(len(tables.models)), tables.models, strict=True):
            rows = test[test["model"] == model]
            for place, head in enumerate(tables.head_names):
                values = factor * rows.loc[rows["head"] == head, column].to_numpy()
                if len(values):
                    look = {"color": looks[model]["color"], "marker": looks[model]["marker"]}
                    axis.plot(np.full(len(values), place + offset), values, ".", color=look["color"], ms=3, alpha=0.6)
                    axis.plot(place + offset, values.mean(), ls="", ms=5, mfc="none", mew=1.3, **look)
        axis.set(ylabel=label)
        _name_ticks(axis, tables.head_names)
        if column != "accuracy":
            axis.set_ylim(bottom=0)
    _legend(figure, looks, tables.models, line=False)
    return figure


def plot_deletion(tables: Tables) -> Figure:
    """Matched probability of the target while the most important units are removed, by model and head."""
    return _curve_grid(tables, "probability_matched", "morf", "fraction removed, most important first", "probability (matched)")


def plot_insertion(tables: Tables) -> Figure:
    """Matched probability of the target while the most important units are inserted, by model and head."""
    return _curve_grid(tables, "probability_matched", "lerf", "fraction inserted, most important first", "probability (matched)")


def plot_drift(tables: Tables) -> Figure:
    """Distance of the embedding from the clean one, in mean centroid distances, while units are removed."""
    return _curve_grid(tables, "drift", "morf", "fraction removed, most important first", "drift / centroid distance")


def _curve_grid(tables: Tables, quantity: str, order: str, x_label: str, y_label: str) -> Figure:
    shape = (len(tables.models), len(tables.head_names))
    size = (PAGE_WIDTH, 1.55 * shape[0] + 0.8)
    figure, axes = plt.subplots(*shape, figsize=size, sharex=True, sharey=True, squeeze=False)
    curves = tables.curves[
        (tables.curves["quantity"] == quantity) & (tables.curves["order"] == order) & (tables.curves["fill"] == tables.fill)
    ]
    groups, looks = dict(iter(curves.groupby(["model", "head", "method"]))), look_of(tables.methods)
    for row, model in enumerate(tables.models):
        for column, head in enumerate(tables.head_names):
            axis = axes[row, column]
            if row == 0:
                axis.set_title(title(head))
            if (model, head) not in tables.cells():
                axis.text(0.5, 0.5, "no such head", transform=axis.transAxes, ha="center", va="center", color="0.4", size=7.5)
                continue
            for method in tables.methods:
                curve = groups[model, head, method].sort_values("fraction")
                place = curve["fraction"] if order == "morf" else 1 - curve["fraction"]
                look = looks[method]
                axis.plot(place, curve["mean"], color=look["color"], ls=look["linestyle"], lw=1.3)
                axis.fill_between(place, curve["ci_low"], curve["ci_high"], color=look["color"], alpha=0.18, lw=0)
            axis.set(xlim=(0, 1))
        axes[row, 0].set_ylabel(title(model))
    figure.supxlabel(x_label, size=8.5)
    figure.supylabel(y_label, size=8.5)
    _legend(figure, looks, tables.methods, line=True)
    return figure


def plot_srg(tables: Tables) -> Figure:
    """SRG by method and by model and head, at the fitted temperature and from kept predictions; intervals in small print."""
    cells = tables.cells()
    size = (PAGE_WIDTH, 2 * (0.34 * len(tables.methods) + 0.75))
    figure, axes = plt.subplots(2, 1, figsize=size, sharex=True)
    for axis, metric, label in zip(
        axes, ("srg_matched", "srg_kept"), ("SRG of the matched probability", "SRG of kept predictions"), strict=True
    ):
        rows = tables.own(metric).set_index(["model", "head", "method"])
        mean = np.array([[rows.loc[(*cell, method), "mean"] for cell in cells] for method in tables.methods])
        low, high = (
            np.array([[rows.loc[(*cell, method), bound] for cell in cells] for method in tables.methods])
            for bound in ("ci_low", "ci_high")
        )
        words = [
            [f"{_short(m)}\n[{_short(a)}, {_short(b)}]" for m, a, b in zip(*line, strict=True)]
            for line in zip(mean, low, high, strict=True)
        ]
        _heat(axis, mean, words, [title(method) for method in tables.methods])
        axis.set_title(label)
        _separate_models(axis, cells, len(tables.methods))
    axes[-1].set_xticks(np.arange(len(cells)) + 0.5, [title(head) for _, head in cells], rotation=30, ha="right")
    return figure


def _short(value: float) -> str:
    """Write a number below 1 with two digits and no leading zero, as tables in papers do."""
    rounded = round(value, 2) + 0.0  # no negative zero
    return f"{rounded:.2f}".replace("0.", ".", 1).replace("-", "−")


def _separate_models(axis: Axes, cells: Sequence[tuple[str, str]], n_rows: int) -> None:
    """Draw a line between models and name each over its columns."""
    names = [model for model, _ in cells]
    for model in dict.fromkeys(names):
        first, count = names.index(model), names.count(model)
        axis.axvline(first, color="white", lw=3)
        axis.text(first + count / 2, -0.05, title(model), ha="center", va="bottom", size=8)
    axis.set_title(axis.get_title(), pad=14)
    axis.set_ylim(n_rows, 0)


def _heat(axis: Axes, values: np.ndarray, words: Sequence[Sequence[str]], rows: Sequence[str]) -> None:
    limit = max(0.1, float(np.nanmax(np.abs(values))))
    sns.heatmap(
        values,
        ax=axis,
        cmap="vlag",
        vmin=-limit,
        vmax=limit,
        annot=np.array(words),
        fmt="",
        annot_kws={"size": 6.2, "linespacing": 1.05},
        yticklabels=rows,
        xticklabels=False,
        linewidths=0.4,
        cbar_kws={"pad": 0.01, "aspect": 15},
    )
    axis.tick_params(axis="y", rotation=0, length=0)
    axis.tick_params(axis="x", length=0)
    axis.grid(False)


def plot_cross(tables: Tables) -> Figure:
    """SRG when one head's explanation is scored by another head, mean over the methods but `random`, if there are others."""
    figure, axes = plt.subplots(1, len(tables.models), figsize=(PAGE_WIDTH, 2.6), squeeze=False)
    table = tables.summary
    chosen = table[(table["metric"] == "srg_matched") & (table["fill"] == tables.fill)]
    chosen = chosen[chosen["method"].isin(_compared(tables.methods))]
    limit = max(0.1, float(chosen.groupby(["model", "explained_by", "scored_by"])["mean"].mean().abs().max()))
    for axis, model in zip(axes[0], tables.models, strict=True):
        heads = [head for name, head in tables.cells() if name == model]
        pivot = chosen[chosen["model"] == model].pivot_table(index="explained_by", columns="scored_by", values="mean")
        names = [title(head) for head in heads]
        sns.heatmap(
            pivot.reindex(index=heads, columns=heads),
            ax=axis,
            cmap="vlag",
            vmin=-limit,
            vmax=limit,
            annot=True,
            fmt=".2f",
            annot_kws={"size": 7},
            xticklabels=names,
            yticklabels=names,
            square=True,
            cbar=False,
            linewidths=0.5,
        )
        axis.set(title=title(model), xlabel="scored by", ylabel="explained by" if axis is axes[0, 0] else "")
        axis.set_xticks(axis.get_xticks(), names, rotation=35, ha="right")
        axis.tick_params(axis="y", rotation=0)
    return figure


def plot_ranking(tables: Tables) -> Figure:
    """Excess SRG over random of each method, ranked within each head by its mean over models; 95 % intervals."""
    rows = tables.own("srg_matched")
    methods = _compared(tables.methods)
    size = (PAGE_WIDTH, 0.3 * len(methods) + 1.2)
    figure, axes = plt.subplots(1, len(tables.head_names), figsize=size, sharex=True, squeeze=False)
    looks = look_of(tables.models)
    for axis, head in zip(axes[0], tables.head_names, strict=True):
        own = rows[(rows["head"] == head) & rows["method"].isin(methods)]
        ranked = own.groupby("method")["excess"].mean().sort_values().index.tolist()
        for offset, model in zip(_offsets(len(tables.models)), tables.models, strict=True):
            line = own[own["model"] == model].set_index("method").reindex(ranked).dropna(subset=["excess"])
            if len(line):
                place = np.array([ranked.index(method) for method in line.index]) - offset
                reach = [line["excess"] - line["excess_ci_low"], line["excess_ci_high"] - line["excess"]]
                look = {"color": looks[model]["color"], "marker": looks[model]["marker"]}
                axis.errorbar(line["excess"], place, xerr=np.abs(reach), ls="", ms=4, mfc="none", lw=1, **look)
        axis.axvline(0, color="0.35", ls=":", lw=1)
        axis.set_yticks(range(len(ranked)), [title(method) for method in ranked])
        axis.set_title(title(head))
    figure.supxlabel("SRG of the matched probability, excess over random", size=8.5)
    _legend(figure, looks, tables.models, line=False)
    return figure


def plot_contrasts(tables: Tables) -> Figure:
    """Difference in SRG of each pair of models by method, mean over common heads and each head; margin of equivalence shaded."""
    table = tables.contrasts
    rows = table[(table["quantity"] == "value") & (table["metric"] == "srg_matched") & (table["fill"] == tables.fill)]
    pairs = list(dict.fromkeys(zip(rows["model"], rows["minus"], strict=True)))
    methods = [*(method for method in tables.methods if method != REFERENCE), ALL]
    heads = [*(head for head in tables.head_names if (rows["head"] == head).any()), ALL]
    n_columns = min(3, max(1, len(pairs)))
    n_rows = max(1, -(-len(pairs) // n_columns))
    size = (PAGE_WIDTH, n_rows * (0.42 * len(methods) + 0.4) + 1)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(pairs) :]:
        axis.set_axis_off()
    if not pairs:
        axes[0, 0].text(0.5, 0.5, "no pair of models with a common head", ha="center", va="center")
        return figure
    looks = {**look_of(heads), ALL: {"color": "black", "marker": "D"}}
    for axis, pair in zip(axes.flat, pairs, strict=False):
        own = rows[(rows["model"] == pair[0]) & (rows["minus"] == pair[1])]
        axis.axvspan(-tables.margin, tables.margin, color="0.85", lw=0, zorder=0)
        axis.axvline(0, color="0.35", ls=":", lw=1)
        for offset, head in zip(4 * _offsets(len(heads)) / len(heads), heads, strict=True):
            _forest(axis, own[own["head"] == head], methods, offset, looks[head])
        axis.set_title(f"{title(pair[0])} - {title(pair[1])}")
        axis.set_yticks(range(len(methods)), ["all methods" if method == ALL else title(method) for method in methods])
        axis.set_ylim(len(methods) - 0.4, -0.6)
        axis.axhline(len(methods) - 1.5, color="0.5", lw=0.6)
    figure.supxlabel("difference in SRG of the matched probability", size=8.5)
    _legend(figure, looks, heads, line=False)
    return figure


def _forest(axis: Axes, rows: pd.DataFrame, methods: Sequence[str], offset: float, look: Mapping[str, object]) -> None:
    """Draw one difference with its interval for each method; filled where zero is outside after Holm's correction."""
    for row in rows.itertuples():
        place = methods.index(row.method) + offset
        sure = row.p_holm < 0.05
        style = {"color": look["color"], "marker": look["marker"], "mfc": look["color"] if sure else "white"}
        axis.errorbar(
            row.difference, place, xerr=[[row.difference - row.ci_low], [row.ci_high - row.difference]], ms=3.5, lw=0.9, **style
        )


TABLE_FIGURES: Mapping[str, Callable[[Tables], Figure]] = {
    "accuracy": plot_accuracy,
    "deletion": plot_deletion,
    "insertion": plot_insertion,
    "srg": plot_srg,
    "cross": plot_cross,
    "ranking": plot_ranking,
    "contrasts": plot_contrasts,
    "drift": plot_drift,
}


def _compared(methods: Sequence[str]) -> list[str]:
    """Return the methods that are compared with the reference; the reference itself in a study of that alone."""
    return [method for method in methods if method != REFERENCE] or [REFERENCE]


def _offsets(n: int) -> np.ndarray:
    return (np.arange(n) - (n - 1) / 2) * 0.2


def _name_ticks(axis: Axes, names: Sequence[str]) -> None:
    axis.set_xticks(range(len(names)), [title(name) for name in names], rotation=20, ha="right")
    axis.set_xlim(-0.5, len(names) - 0.5)


def _legend(figure: Figure, looks: Mapping[str, Mapping[str, object]], names: Sequence[str], line: bool) -> None:
    handles = [
        plt.Line2D(
            [],
            [],
            color=looks[name]["color"],
            ls=looks[name]["linestyle"] if line else "",
            marker="" if line else looks[name]["marker"],
            mfc="none",
            label=title(name),
        )
        for name in names
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(names), 7))
