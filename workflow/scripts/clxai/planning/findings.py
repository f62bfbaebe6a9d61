"""What finished studies found, from small committed tables: a page in each folder of results, and the results of the README.

python -m clxai.planning.findings docs/results/answer results/studies/answer/digits ...  # takes the numbers of runs over as well
python -m clxai.planning.findings docs/results/answer  # writes the page alone; for docs/results/default, the README too

Several runs of one study, on other kinds of CPU, are kept side by side, and only what holds in all of them is stated. The folders
`docs/results/answer*`, one for each data set, have one more page together, `docs/results/answer.md`. A file `run.txt` in a
folder, written by hand, says there how it was run: commit, machine, wall time.
"""

import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from clxai.errors import ClxaiError
from clxai.exchange.sides import DESIGN, RUN
from clxai.measures.levels import CONFIRMATORY
from clxai.names import ALL
from clxai.planning.config_docs import markdown_table
from clxai.runtime.artefacts import read_record, read_table
from clxai.verdict.differences import ROUTES
from clxai.verdict.page import answers, page_of
from clxai.verdict.phrasing import interval
from clxai.verdict.ranking import METRICS
from clxai.verdict.records import Evidence, Statement, Study
from clxai.verdict.rendering import markdown
from clxai.verdict.rules import verdict_of
from clxai.verdict.together import together, told
from clxai.verdict.wording import QUESTION, sentence

ROOT = Path(__file__).parents[4]
RESULTS = ROOT / "docs" / "results"
DEFAULT = RESULTS / "default"
ANSWER = "answer"  # the page of all data sets, and how the folders of its studies begin
BEGIN, END = "<!-- results: written by clxai.planning.findings -->\n", "<!-- end of results -->\n"
SHOWN_HEAD = "linear"
LINE_WIDTH = 130
_DIGITS = 4
_EXCESS = ("excess", "excess_ci_low", "excess_ci_high", "excess_best", "excess_best_low", "excess_best_high")
_KEPT: Mapping[str, Sequence[str] | None] = {  # by table the columns that rules and page read; None: all
    "summary": [
        *("model", "units", "method", "explained_by", "scored_by", "fill", "metric", "mean", "ci_low", "ci_high"),
        *(*_EXCESS, "n_seeds", "n_images"),
    ],
    "contrasts": [
        *("family", "model", "minus", "quantity", "metric", "units", "fill", "method", "head", "difference", "ci_low", "ci_high"),
        *(
            "p_holm",
            "equivalent",
            "noninferior",
            "p_noninferior_holm",
            "margin",
            "detectable",
            "seeds_needed",
            "n_seeds",
            "n_images",
        ),
    ],
    "variance": ["model", "units", "method", "head", "fill", "metric", "seed_share", "image_share", "residual_share"],
    "heads": ["model", "seed", "head", "split", "n_images", "accuracy"],
    "models": ["model", "seed", "loss", "epochs", "precision", "cpu_capability", "torch", "numpy"],
    "checks": ["setting", "check", "model", "seed", "units", "method", "head", "value", "result"],
    "trust": None,
    "trust_contrasts": None,
    "trust_claims": None,
    "trust_left_out": None,
}


def collect(folder: Path) -> dict[str, pd.DataFrame]:
    """Return what is kept of a finished study's tables (`results/studies/{study}/{dataset}`), with the CPU as column `cpu`."""
    found = {name: folder / "tables" / f"{name}.csv" for name in _KEPT}
    tables = {name: read_table(path) for name, path in found.items() if path.exists()}
    run = "/".join(sorted(set(tables["models"]["cpu_capability"])))
    return {name: _kept(name, table).assign(**{RUN: run}).round(_DIGITS) for name, table in tables.items()}


def _kept(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows and columns of a table that the rules read."""
    chosen = pd.Series(True, index=table.index)
    if name == "summary":
        chosen = (table["explained_by"] == table["scored_by"]) & table["metric"].isin([*ROUTES, *METRICS])
    if name == "contrasts":
        declared = table["family"] == CONFIRMATORY if "family" in table else ~chosen
        chosen = declared | ((table["quantity"] == "value") & table["metric"].isin(ROUTES) & (table["head"] == ALL))
    if name == "variance":
        chosen = table["metric"] == METRICS[0]
    if name == "heads":
        chosen = table["split"] == "test"
    columns = _KEPT[name] or table.columns
    return table.loc[chosen, [column for column in columns if column in table]]


def take_over(folder: Path, found: Mapping[str, pd.DataFrame], design: Mapping[str, object]) -> None:
    """Put a run's numbers into a folder of results, in the place of earlier ones of the same kind of CPU.

    Raises ClxaiError if the folder holds runs of another study or data set, or of the same study designed otherwise.
    """
    _check_folder(folder, set(found["models"][RUN]), design)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESIGN).write_text(json.dumps(design, indent=2, sort_keys=True) + "\n")
    for name, table in found.items():
        path = folder / f"{name}.csv"
        others = [old[~old[RUN].isin(table[RUN])] for old in ([pd.read_csv(path)] if path.exists() else [])]
        both = pd.concat([*(old for old in others if len(old)), table])
        both.sort_values(RUN, kind="stable").to_csv(path, index=False)


def _check_folder(folder: Path, runs: set[str], design: Mapping[str, object]) -> None:
    if not (folder / DESIGN).exists():
        return
    stored, kept = json.loads((folder / DESIGN).read_text()), set(pd.read_csv(folder / "models.csv")[RUN]) - runs
    whose, other = ((one.get("name"), one.get("dataset")) for one in (stored, design))
    if whose != other:
        raise ClxaiError(
            f"{folder} holds the study {whose[0]!r} of {whose[1]!r}, not {other[0]!r} of {other[1]!r}: name another folder"
        )
    if stored != design and kept:
        raise ClxaiError(
            f"{folder} holds runs of another design ({', '.join(sorted(kept))}): delete the folder and take all runs over"
        )


def committed(folder: Path = DEFAULT) -> dict[str, Study]:
    """Return the runs of a folder of results, by kind of CPU."""
    design = json.loads((folder / DESIGN).read_text())
    paths = {name: folder / f"{name}.csv" for name in _KEPT}
    tables = {name: pd.read_csv(path) for name, path in paths.items() if path.exists()}
    runs = sorted(set(tables["models"][RUN]))
    return {run: Study(**design, tables={name: table[table[RUN] == run] for name, table in tables.items()}) for run in runs}


def statements(runs: Mapping[str, Study]) -> list[Statement]:
    """Return what all runs of a study say."""
    return verdict_of(runs)


def page(runs: Mapping[str, Study]) -> str:
    """Return the page of a folder of results."""
    study = next(iter(runs.values()))
    return wrapped(markdown(page_of(study, statements(runs), runs)))


def answer_folders(results: Path) -> list[Path]:
    """Return the folders of results of the studies that answer the question, one for each data set."""
    return sorted(path.parent for path in results.glob(f"{ANSWER}*/{DESIGN}"))


def answer_page(folders: Sequence[Path]) -> str:
    """Return the page of several studies: at most ten sentences, then how each study was run and how its numbers are had."""
    runs = {folder: committed(folder) for folder in folders}
    chosen = together({folder.name: statements(own) for folder, own in runs.items()})
    lines = [
        f"- On {next(iter(own.values())).dataset}: {told(one)} ([page]({folder.name}/verdict.md))"
        for folder, own in runs.items()
        for one in chosen[folder.name]
    ]
    rows = [_how(folder, own) for folder, own in runs.items()]
    header = ["data set", "trainings", "images", "CPU", "numbers", "run"]
    opening = "Written by `python -m clxai.planning.findings` from the tables in the folders beside it; a test holds it to them."
    return wrapped("\n".join(["# Answer\n", f"{QUESTION}\n", *lines, "", f"{opening}\n", markdown_table(header, rows)]))


def _how(folder: Path, runs: Mapping[str, Study]) -> list[str]:
    """Return the row of a study: data set, trainings, images, kinds of CPU, the commands of its numbers, what is noted of it."""
    study, note = next(iter(runs.values())), folder / "run.txt"
    images = study.table("summary")["n_images"].max()
    trained = f"{len(study.models)} models x {study.n_trainings} seeds"
    commands = (
        f"`snakemake --configfile config/{study.name}.yaml`, "
        f"`python -m clxai.planning.findings docs/results/{folder.name} results/studies/{study.name}/{study.dataset}`"
    )
    return [
        study.dataset,
        trained,
        str(images),
        ", ".join(runs),
        commands,
        " ".join(note.read_text().split()) if note.exists() else "-",
    ]


def document(runs: Mapping[str, Study]) -> str:
    """Return the README's results: a table of SRG, a table of contrasts, and the sentences of the answer."""
    study = next(iter(runs.values()))
    where = f"units {study.units}, fill {study.fill}"
    caption = f"*Mean SRG of the {SHOWN_HEAD} head at the fitted temperature ({where}), 95 % intervals for new seeds and images.*"
    other = f"*Differences of SRG ({where}), averaged over methods (but controls) and heads, paired by image and seed.*"
    listed = "".join(f"- {sentence(one)}\n" for one in answers(statements(runs)))
    return wrapped("\n".join([srg_table(runs), f"{caption}\n", contrast_rows(runs), f"{other}\n", listed]))


def wrapped(text: str) -> str:
    """Return Markdown with lines of prose that fit a screen; rows of tables and headings stay as they are."""
    return "\n".join(line if line.startswith(("|", "#")) else _wrapped_line(line) for line in text.split("\n"))


def _wrapped_line(line: str) -> str:
    """Wrap one line; what would begin a list, such as a minus between names, stays with the word before it."""
    indent, kept = "  " if line.startswith("- ") else "", re.sub(r"(?<=.) (?=([-+*]|1[.)]) )", "\0", line)
    lines = textwrap.fill(kept, LINE_WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
    return lines.replace("\0", " ")


def srg_table(runs: Mapping[str, Study]) -> str:
    """Return methods by models and CPUs, for the shown head, first units and fill."""
    cells, methods = {}, []
    for run, study in runs.items():
        table = _shown(study, study.own(METRICS[0]))
        for row in table[table["head"] == SHOWN_HEAD].to_dict("records"):
            cells[row["method"], row["model"], run] = _interval(row, "mean")
            methods.append(row["method"])
    columns = [(model, run) for model in next(iter(runs.values())).models for run in runs]
    header = ["SRG, matched", *(f"{model}, {run}" for model, run in columns)]
    rows = [[f"`{method}`", *(cells.get((method, *column), "-") for column in columns)] for method in dict.fromkeys(methods)]
    return markdown_table(header, rows)


def contrast_rows(runs: Mapping[str, Study]) -> str:
    """Return pairs of models by metrics and CPUs, for the first units and fill."""
    rows: dict[str, dict[tuple[str, str], str]] = {}
    columns = [(metric, run) for run in runs for metric in METRICS]
    for run, study in runs.items():
        table = _shown(study, study.table("contrasts"))
        averaged = table[(table["method"] == ALL) & (table["head"] == ALL) & (table["quantity"] == "value")]
        for row in averaged[averaged["metric"].isin(METRICS)].to_dict("records"):
            place = rows.setdefault(f"`{row['model']}` - `{row['minus']}`", {})
            place[row["metric"], run] = _interval(row, "difference")
    listed = [[pair, *(by[column] for column in columns)] for pair, by in rows.items()]
    return markdown_table(["difference", *(f"{metric}, {run}" for metric, run in columns)], listed)


def _shown(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the study's first units and fill."""
    return table[(table["units"] == study.units) & (table["fill"] == study.fill)]


def _interval(row: Mapping[str, object], value: str) -> str:
    return interval(Evidence("", *(float(row[name]) for name in (value, "ci_low", "ci_high"))))


def write(readme: Path, section: str) -> None:
    """Put the section between its marks."""
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(before + BEGIN + section + END + rest.split(END)[1])


def main(arguments: Sequence[str]) -> None:
    """Take over the runs that are given into the folder that is given first, then write its page, and the README's results."""
    folder, *finished = map(Path, arguments or [str(DEFAULT)])
    for study in finished:
        take_over(folder, collect(study), read_record(study / "verdict.json"))
    runs = committed(folder)
    (folder / "verdict.md").write_text(page(runs))
    if folder.resolve() == DEFAULT:
        write(ROOT / "README.md", document(runs))
    if folder.name.startswith(ANSWER):
        (folder.parent / f"{ANSWER}.md").write_text(answer_page(answer_folders(folder.parent)))


if __name__ == "__main__":
    main(sys.argv[1:])
