"""Writes the table of modules in docs/architecture.md: what each is about, and which rules an edit of it reruns.

python -m clxai.planning.module_docs
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from clxai.planning.provenance import code_of, is_silent
from clxai.planning.usage import USES
from clxai.registry import LIBRARY, PLACES, declared, files_of

PAGE = LIBRARY.parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- modules: generated -->\n", "<!-- end of modules -->\n"
MOST_LETTERS = 70  # of a concept
FLOW = (
    *("prepare_data", "sample_images", "train_model", "embed_images", "fit_heads", "mask_bank", "attribute", "flip"),
    "analyse",
    "measure_stability",
    *(
        "summarise",
        "compare_maps",
        "compare_classes",
        "summarise_stability",
        "summarise_analyses",
        "assess_trust",
        "check_study",
        "rank_metrics",
        "state_verdict",
        "describe_methods",
        "describe_results",
        "plot_figure",
        "build_explorer",
    ),
    *("export_virelay", "export_images", "rank_methods"),
    *("pool_teachers", "train_explainer"),
)


def write() -> None:
    """Replace the table in docs/architecture.md."""
    PAGE.write_text(with_table(PAGE.read_text()))


def with_table(page: str) -> str:
    """Return the page with the table of today between its marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "".join(f"{line}\n" for line in table()) + END + rest.split(END)[1]


def table() -> Iterator[str]:
    """Yield the lines of the table: one row per module, by folder, in Markdown."""
    yield "| module | concept | an edit reruns |"
    yield "| --- | --- | --- |"
    for file in sorted(LIBRARY.rglob("*.py"), key=lambda file: (file.parent.relative_to(LIBRARY).parts, file.name)):
        if file.name != "__init__.py" or file.parent == LIBRARY:
            yield f"| `{file.relative_to(LIBRARY).with_suffix('')}` | {concept_of(file)} | {reruns_of(file)} |"


def concept_of(file: Path) -> str:
    """Return the first sentence of a module's docstring, without its full stop; of a long one what stands before its colon."""
    text = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n\n")[0].replace("\n", " ")
    sentence = text.partition(". ")[0].rstrip(".").replace("|", "\\|")
    return sentence if len(sentence) <= MOST_LETTERS else sentence.partition(": ")[0].partition("; ")[0]


def reruns_of(file: Path) -> str:
    """Return which rules an edit of a module reruns, in words."""
    if is_silent(file):
        return "nothing: it changes no result"
    always = {script for script in FLOW if file in code_of(LIBRARY.parent / f"{script}.py")}
    if always == set(FLOW):
        return "all"
    used = {
        script
        for script in set(FLOW) - always
        for family in USES.get(script, {})
        for name in declared(family)
        if file in code_of(LIBRARY.parent / f"{script}.py", (family, name))
    }
    parts = [in_words(always)] if always else []
    parts += [f"{in_words(used)}, where {'it is' if has_members(file) else 'a member that needs it is'} used"] if used else []
    return "; ".join(parts) or "none"


def has_members(file: Path) -> bool:
    """Say whether a module defines a member of a family."""
    present = [family for family, place in PLACES.items() if (LIBRARY / place.folder / "base.py").is_file()]
    return any(file in files_of(family).values() for family in present)


def in_words(scripts: set[str]) -> str:
    """Return rules in the order of the flow; three and more that follow each other as `first … last`."""
    runs: list[list[str]] = []
    for place, script in enumerate(FLOW):
        if script in scripts:
            if runs and runs[-1][-1] == FLOW[place - 1]:
                runs[-1].append(script)
            else:
                runs.append([script])
    return ", ".join(f"{run[0]} … {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


if __name__ == "__main__":
    write()
