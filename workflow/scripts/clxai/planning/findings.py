"""What the default study found, written into the README from committed tables: only what holds on every kind of CPU that ran it.

python -m clxai.planning.findings results/studies/default/digits/tables  # after a run: takes its numbers over as well
python -m clxai.planning.findings  # rewrites the README alone
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from clxai.measures.levels import ALPHA
from clxai.names import ALL, REFERENCE
from clxai.planning.config_docs import markdown_table
from clxai.runtime.artefacts import read_table

ROOT = Path(__file__).parents[4]
TABLES = ROOT / "docs" / "results"
BEGIN, END = "<!-- results: written by clxai.planning.findings -->\n", "<!-- end of results -->\n"
METRICS = ("srg_matched", "srg_kept")
ENDS = ("srg_matched_low", "srg_matched_high")  # at the ends of the temperatures' intervals
SHOWN_HEAD = "linear"
_KEPT = {
    "summary": [
        "model",
        "method",
        "scored_by",
        "metric",
        "mean",
        "ci_low",
        "ci_high",
        "excess",
        "excess_ci_low",
        "excess_ci_high",
    ],
    "contrasts": [
        "model",
        "minus",
        "metric",
        "method",
        "head",
        "difference",
        "ci_low",
        "ci_high",
        "p_holm",
        "equivalent",
        "margin",
    ],
    "heads": ["model", "seed", "head", "accuracy"],
}


def collect(folder: Path) -> dict[str, pd.DataFrame]:
    """Return what the README needs of a finished study's tables, with the CPU that computed them as column `cpu`."""
    cpu = "/".join(sorted(set(read_table(folder / "models.csv")["cpu_capability"])))
    tables = {name: read_table(folder / f"{name}.csv") for name in _KEPT}
    summary, contrasts, heads = tables.values()
    own = (summary["explained_by"] == summary["scored_by"]) & summary["metric"].isin(METRICS + ENDS)
    value = (contrasts["quantity"] == "value") & contrasts["metric"].isin(METRICS)
    chosen = {"summary": summary[own], "contrasts": contrasts[value], "heads": heads[heads["split"] == "test"]}
    return {name: table[_KEPT[name]].assign(cpu=cpu).round(4) for name, table in chosen.items()}


def take_over(found: Mapping[str, pd.DataFrame], folder: Path = TABLES) -> None:
    """Put a study's numbers into the committed tables, in the place of earlier ones of the same kind of CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in found.items():
        path = folder / f"{name}.csv"
        others = [old[~old["cpu"].isin(table["cpu"])] for old in ([pd.read_csv(path)] if path.exists() else [])]
        pd.concat([*others, table]).sort_values("cpu", kind="stable").to_csv(path, index=False)


def document(summary: pd.DataFrame, contrasts: pd.DataFrame, heads: pd.DataFrame) -> str:
    """Return the results section: a table of SRG, a table of contrasts, and the sentences that hold on every kind of CPU."""
    temperature = temperature_sentence(summary)
    summary = summary[summary["metric"].isin(METRICS)]
    sentences = [
        accuracy_sentence(heads),
        reference_sentence(summary),
        *excess_sentences(summary),
        order_sentence(summary),
        *contrast_sentences(contrasts),
        single_sentence(contrasts),
        temperature,
    ]
    caption = f"*Mean SRG of the {SHOWN_HEAD} head at the fitted temperature, with 95 % intervals for new seeds and new images.*"
    other = "*Differences of SRG, averaged over methods (but random) and heads, paired by image and seed.*"
    listed = "".join(f"- {line}\n" for line in sentences)
    return "\n".join([srg_table(summary), f"{caption}\n", contrast_rows(contrasts), f"{other}\n", listed])


def accuracy_sentence(heads: pd.DataFrame) -> str:
    """State the lowest accuracy of any model, seed and head."""
    worst = heads.loc[heads["accuracy"].idxmin()]
    where = f"{worst['model']}, seed {worst['seed']}, {worst['head']}, {worst['cpu']}"
    return f"Every head of every model and seed classifies at least {100 * worst['accuracy']:.1f} % of the test images ({where})."


def reference_sentence(summary: pd.DataFrame) -> str:
    """State in how many cells the interval of the random attribution holds 0."""
    random = summary[summary["method"] == REFERENCE]
    n_holds = int(((random["ci_low"] <= 0) & (random["ci_high"] >= 0)).sum())
    return f"The interval of the random attribution holds 0 in {n_holds} of {len(random)} cells (model, head, metric, CPU)."


def excess_sentences(summary: pd.DataFrame) -> Iterable[str]:
    """State for each model which methods exceed random, with an interval above 0 for every head, metric and kind of CPU."""
    others = summary[summary["method"] != REFERENCE]
    for model, cell in others.groupby("model", sort=False):
        above = (cell["excess_ci_low"] > 0).groupby(cell["method"], sort=False).all()
        named = _listed(above.index[above]) or "none"
        where = "for every head, in both metrics and on every CPU"
        yield f"On `{model}`, methods whose excess over random has an interval above 0 {where}: {named}."


def order_sentence(summary: pd.DataFrame) -> str:
    """State the order of the methods, averaged over models and heads, as far as it is the same everywhere."""
    means = summary[summary["method"] != REFERENCE].groupby(["cpu", "metric", "method"])["mean"].mean().unstack("method")
    orders = [row.sort_values(ascending=False).index.tolist() for _, row in means.iterrows()]
    common = []
    for names in zip(*orders, strict=True):
        if len(set(names)) > 1:
            break
        common.append(f"`{names[0]}`")
    if not common:
        return "No method leads in both metrics and on every CPU."
    rest = ", then the rest in an order that differs" if len(common) < len(orders[0]) else ""
    return f"Averaged over models and heads, in both metrics and on every CPU, the order begins {' > '.join(common)}{rest}."


def contrast_sentences(contrasts: pd.DataFrame) -> Iterable[str]:
    """State for each pair of models whether SRG differs, averaged over methods and heads, in both metrics on every CPU."""
    for (model, minus), cell in _averaged(contrasts).groupby(["model", "minus"], sort=False):
        yield f"`{model}` minus `{minus}`: {verdict(cell)}."


def temperature_sentence(summary: pd.DataFrame) -> str:
    """State how far any mean of SRG moves between the ends of the temperatures' intervals."""
    means = summary.pivot_table(index=["cpu", "model", "method", "scored_by"], columns="metric", values="mean")
    moved = means[[*ENDS]].sub(means[METRICS[0]], axis=0).abs().to_numpy().max()
    return f"Between the ends of the temperatures' 95 % intervals no mean of matched SRG moves by more than {moved:.3f}."


def verdict(cell: pd.DataFrame) -> str:
    """Say what a few intervals of one difference allow to say together; a difference is one only if all of them agree."""
    above, below = cell["ci_low"] > 0, cell["ci_high"] < 0
    if above.all() or below.all():
        return f"SRG is {'higher' if above.all() else 'lower'}, in both metrics and on every CPU"
    if cell["equivalent"].all():
        return f"SRG is equivalent within {cell['margin'].iloc[0]:g}, in both metrics and on every CPU"
    if above.any() or below.any():
        return "metrics or CPUs disagree on whether SRG differs: nothing is concluded"
    return "no difference is shown, and no equivalence either"


def single_sentence(contrasts: pd.DataFrame) -> str:
    """State which differences of a single method, averaged over heads, survive Holm's correction in both metrics on every CPU."""
    single = contrasts[(contrasts["method"] != ALL) & (contrasts["head"] == ALL)]
    marked = single.assign(sure=single["p_holm"] < ALPHA, sign=single["difference"] > 0)
    cells = marked.groupby(["model", "minus", "method"], sort=False)
    named = [
        f"`{method}` ({model} {'above' if cell['sign'].all() else 'below'} {minus})"
        for (model, minus, method), cell in cells
        if cell["sure"].all() and cell["sign"].nunique() == 1
    ]
    if not named:
        return "No difference of a single method survives Holm's correction in both metrics and on every CPU."
    return f"Differences of single methods that survive Holm's correction in both metrics and on every CPU: {', '.join(named)}."


def srg_table(summary: pd.DataFrame) -> str:
    """Return methods by models and CPUs, for the shown head."""
    shown = summary[(summary["scored_by"] == SHOWN_HEAD) & (summary["metric"] == METRICS[0])]
    rows = shown.itertuples(index=False)
    cells = {(row.method, row.model, row.cpu): _interval(row.mean, row.ci_low, row.ci_high) for row in rows}
    columns = list(dict.fromkeys((model, cpu) for _, model, cpu in sorted(cells, key=lambda cell: cell[1:])))
    header = ["SRG, matched", *(f"{model}, {cpu}" for model, cpu in columns)]
    methods = list(dict.fromkeys(shown["method"]))
    return markdown_table(header, [[f"`{method}`", *(cells[method, *column] for column in columns)] for method in methods])


def contrast_rows(contrasts: pd.DataFrame) -> str:
    """Return pairs of models by metrics and CPUs."""
    averaged = _averaged(contrasts)
    columns = list(dict.fromkeys(zip(averaged["metric"], averaged["cpu"], strict=True)))
    rows = []
    for (model, minus), cell in averaged.groupby(["model", "minus"], sort=False):
        by = {(row.metric, row.cpu): _interval(row.difference, row.ci_low, row.ci_high) for row in cell.itertuples(index=False)}
        rows.append([f"`{model}` - `{minus}`", *(by[column] for column in columns)])
    return markdown_table(["difference", *(f"{metric}, {cpu}" for metric, cpu in columns)], rows)


def _averaged(contrasts: pd.DataFrame) -> pd.DataFrame:
    return contrasts[(contrasts["method"] == ALL) & (contrasts["head"] == ALL)]


def write(readme: Path, section: str) -> None:
    """Put the section between its marks."""
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(before + BEGIN + section + END + rest.split(END)[1])


def committed() -> dict[str, pd.DataFrame]:
    """Return the committed tables."""
    return {name: pd.read_csv(TABLES / f"{name}.csv") for name in _KEPT}


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: Sequence[str]) -> None:
    """Take over the tables in the folders that are given, then write the README's results."""
    for folder in arguments:
        take_over(collect(Path(folder)))
    write(ROOT / "README.md", document(**committed()))


if __name__ == "__main__":
    main(sys.argv[1:])
