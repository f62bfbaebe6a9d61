"""The page of a study: its question, an answer in few sentences, what was found, what was not, what cannot be said, tables.

Every sentence has a number; the answer gives that of the sentence in the sections below it, where the table and the rows of its
figures stand too.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from clxai.names import ALL
from clxai.verdict.blocks import Block
from clxai.verdict.phrasing import interval, source
from clxai.verdict.records import Kind, Statement, Study, evidence_of
from clxai.verdict.trusting import spoken
from clxai.verdict.wording import QUESTION, sentence

MOST_SENTENCES = 10  # of the answer
MOST_OF_TOPIC = 3
LAST_WEIGHT = 50  # what weighs more is no part of the answer
SHOWN_HEAD = "linear"
CELLS = (
    "A cell is one head, units and fill, unless said otherwise. Intervals are 95 %, for new seeds and new images (of "
    "one seed for "
    "new images), and not corrected for their number; corrected tests say Holm. `a` - `b` is the difference of two models."
)
INSTRUMENT = ("oracle", "instrument", "controls", "baseline")
_HEADINGS = {Kind.FOUND: "What was found", Kind.NOT_FOUND: "What was not found", Kind.CANNOT_SAY: "What this study cannot say"}


def page_of(study: Study, statements: Sequence[Statement], runs: Mapping[str, Study] | None = None) -> list[Block]:
    """Return the blocks of a study's page; `runs` are those that share the statements, by name, where there are several."""
    numbered = {id(one): place for place, one in enumerate(_in_sections(statements), start=1)}
    blocks = [Block(f"Verdict: {study.name}, {study.dataset}", level=1), Block(QUESTION)]
    blocks += [Block("Answer", level=2), _items(answers(statements), numbered, rows=False)]
    blocks.append(Block(CELLS))
    for kind, heading in _HEADINGS.items():
        blocks += [Block(heading, level=2), *_section(kind, statements, numbered)]
    own = [one for one in statements if one.topic in INSTRUMENT]
    blocks += [Block("The instrument", level=2), _items(own, numbered)]
    tables = {"Trust measures": trust_table, "How it was run": run_table}
    for heading, make in tables.items():
        blocks.append(Block(heading, level=2))
        for run, one in (runs or {"": study}).items():
            blocks += [*([Block(run, level=3)] if run else []), *make(one)]
    return blocks


def answers(statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements that answer the question: those of least weight, few of each topic, at most ten sentences."""
    chosen: list[Statement] = []
    for one in sorted((one for one in statements if one.weight < LAST_WEIGHT), key=lambda one: one.weight):
        if sum(other.topic == one.topic for other in chosen) < MOST_OF_TOPIC and len(chosen) < MOST_SENTENCES:
            chosen.append(one)
    return chosen


def _in_sections(statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements in the order of the sections that list them."""
    others = [one for one in statements if one.topic not in INSTRUMENT]
    sections = [[one for one in others if one.kind == kind] for kind in _HEADINGS]
    return [one for section in (*sections, [one for one in statements if one.topic in INSTRUMENT]) for one in section]


def _section(kind: Kind, statements: Sequence[Statement], numbered: dict[int, int]) -> Iterable[Block]:
    own = [one for one in statements if one.kind == kind and one.topic not in INSTRUMENT]
    yield _items(own, numbered) if own else Block("Nothing.")
    below = [numbered[id(one)] for one in statements if one.kind == kind and one.topic in INSTRUMENT]
    if below:
        yield Block(f"Of the instrument, below: {', '.join(map(str, below))}.")


def _items(statements: Sequence[Statement], numbered: dict[int, int], rows: bool = True) -> Block:
    if rows:
        return Block(items=tuple((f"**{numbered[id(one)]}** {sentence(one)}", source(one)) for one in statements))
    return Block(items=tuple((f"{sentence(one)} [{numbered[id(one)]}]", "") for one in statements))


def trust_table(study: Study) -> Iterable[Block]:
    """Yield the trust measures by model with intervals for one head, in the parts that sentences name; or that there are none."""
    trust = study.table("trust")
    if trust.empty:
        yield Block("No trust measure was computed.")
        return
    models = [model for model in study.models if model in set(trust["model"])]
    head = _shown_head(trust, models)
    units, fill = study.units or trust["units"].iloc[0], study.fill or trust["fill"].iloc[0]
    cut = trust["units"].isin([units, ALL]) & trust["fill"].isin([fill, ALL])
    shown = trust[(trust["head"] == head) & cut & spoken(trust)]
    rest = "the others, and parts for MoRF and LeRF, are in trust.csv"
    yield Block(f"For head {head}, with units {units} and fill {fill} or over all of them; {rest}.")
    rows = []
    for place, cell in shown.groupby(["measure", "part"], sort=False, dropna=False):
        by_model = {row["model"]: row for row in cell.to_dict("records")}
        values = [_value(by_model[model]) if model in by_model else "-" for model in models]
        better = {1: "higher", -1: "lower"}.get(int(cell["better"].iloc[0]), "-")
        null = "-" if pd.isna(cell["null"].iloc[0]) else f"{cell['null'].iloc[0]:.3g}"
        rows.append((*("" if pd.isna(name) else str(name) for name in place), *values, null, better))
    header = ("measure", "part", *(_named(model, study) for model in models), "no trust", "better")
    yield Block(header=header, rows=tuple(rows))
    if set(models) & set(study.references):
        yield Block("* a reference: trained on perturbed images.")


def _shown_head(trust: pd.DataFrame, models: Sequence[str]) -> str:
    """Return the linear head if all models have it, else the first that all have, else the first."""
    heads = {head: set(rows["model"]) for head, rows in trust.groupby("head", sort=False)}
    shared = [head for head, own in heads.items() if own >= set(models)] or list(heads)
    return SHOWN_HEAD if SHOWN_HEAD in shared else shared[0]


def _named(model: str, study: Study) -> str:
    return f"{model} *" if model in study.references else model


def _value(row: dict) -> str:
    return interval(evidence_of(row, "trust", "value", "ci_low", "ci_high"))


def run_table(study: Study) -> Iterable[Block]:
    """Yield how many images were explained, and how each model was trained: seeds, loss, epochs, CPU, versions."""
    summary, models = study.table("summary"), study.table("models")
    if "n_images" in summary and len(summary):
        cut = ", ".join(f"{name} {_several(summary[name])}" for name in ("units", "fill") if name in summary)
        yield Block(f"{_several(summary['n_images'])} images are explained and flipped; {cut}.")
    if study.not_tested:
        pairs = ", ".join(f"{first} - {second}" for first, second in study.not_tested)
        yield Block(f"Declared contrasts that are not tested, since the study leaves out a model: {pairs}.")
    if models.empty:
        yield Block("How the models were trained is not at hand.")
        return
    columns = [name for name in ("loss", "epochs", "precision", "device", "cpu_capability", "torch", "numpy") if name in models]
    rows = []
    for model, own in models.groupby("model", sort=False):
        rows.append((str(model), _several(own["seed"]), *(_several(own[name]) for name in columns)))
    yield Block(header=("model", "seeds", *(name.replace("_", " ") for name in columns)), rows=tuple(rows))


def _several(values: pd.Series) -> str:
    return ", ".join(str(value) for value in values.drop_duplicates() if value != ALL)
