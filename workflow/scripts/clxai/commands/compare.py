"""Compare two studies: which artefacts are equal, which numbers moved and by how much, and whether the intervals agree."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clxai.commands.studies import find_study
from clxai.errors import some_of

if TYPE_CHECKING:  # pandas is imported where it is used, so that `clxai --help` is quick
    import pandas as pd

    from clxai.exchange.comparing import Comparison
    from clxai.exchange.sides import Side

HELP = "compare two studies, or exports of them"
EPILOG = """\
examples:
  clxai compare results/studies/mine/digits exports/theirs
  clxai compare docs/results/default@AVX2 docs/results/default@AVX512
  clxai compare A B --list 40

A side is a finished study (its name, or its folder results/studies/NAME/DATASET), an export (clxai export), or committed results
(docs/results/NAME, with @RUN where it holds several). Numbers are matched by the names of their rows; artefacts by SHA-256.

verdicts:
  equal    every number is on both sides and the same
  agree    the rows are the same, no conclusion is another, and of the numbers with an interval at most 1 % have intervals that
           share no point, as many as independent repetitions may have by chance
  differ   all else

exit codes: 0 equal; 3 agree; 4 differ; 1 a side that cannot be read; 2 wrong usage.
"""
EXIT = {"equal": 0, "agree": 3, "differ": 4}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("a", metavar="A", help="a study, an export or committed results")
    parser.add_argument("b", metavar="B", help="the other one")
    parser.add_argument("--list", type=int, default=10, metavar="N", help="how many numbers and names to list (default: 10)")
    parser.add_argument("--csv", metavar="FILE", help="write every number of both sides to a CSV table too")


def run(given: argparse.Namespace) -> int:
    """Compare, print, and return the verdict as exit code."""
    from clxai.exchange.comparing import compare
    from clxai.runtime.artefacts import write_table

    one, other = _alike(given.a, given.b)
    comparison = compare(one.tables, other.tables)
    print("\n".join([f"A  {given.a}", f"B  {given.b}", "", *artefact_lines(one, other, given.list)]))
    print("\n".join(number_lines(comparison, given.list)))
    if given.csv:
        write_table(comparison.rows, given.csv)
    return EXIT[comparison.verdict]


def _alike(first: str, second: str) -> tuple["Side", "Side"]:
    """Return both sides; of a study beside committed results, what would be committed of it."""
    from clxai.exchange.sides import RUN, read_side
    from clxai.planning.findings import collect

    sides = [read_side(given if Path(given.partition("@")[0]).exists() else str(find_study(given))) for given in (first, second)]
    if sides[0].kept != sides[1].kept:
        kept = [{name: table.drop(columns=RUN) for name, table in collect(one.folder).items()} for one in sides if not one.kept]
        sides = [one if one.kept else replace(one, tables=kept[0]) for one in sides]
    return sides[0], sides[1]


def artefact_lines(one: "Side", other: "Side", most: int) -> Iterator[str]:
    """Yield how many artefacts are equal and which are not; nothing where a side has tables alone."""
    from clxai.exchange.inventory import compared

    if not (one.digests and other.digests):
        yield "artefacts: not compared, since committed results are numbers alone\n"
        return
    found = compared(one.digests, other.digests)
    yield "artefacts, by SHA-256: " + ", ".join(f"{len(names)} {state}" for state, names in found.items())
    for state, names in found.items():
        if state != "equal" and names:
            yield f"  {state}: {some_of(names, most)}"
    yield ""


def number_lines(comparison: "Comparison", most: int) -> Iterator[str]:
    """Yield numbers by table and state, those that moved farthest, conclusions that changed, and the verdict."""
    yield comparison.counts.to_string()
    largest = comparison.largest(most)
    if len(largest):
        yield "\nmoved farthest, by halves of the wider interval (numbers that have one):"
        yield from (f"  {line}" for line in map(_moved, largest.to_dict("records")))
    changed = comparison.conclusions
    if len(changed):
        yield f"\nconclusions that are others ({len(changed)}):"
        yield from (f"  {_place(row)}: {row['text_a']} -> {row['text_b']}" for row in changed.head(most).to_dict("records"))
    yield f"\n{verdict_line(comparison)}"


def verdict_line(comparison: "Comparison") -> str:
    """Return the verdict with the counts on which it rests."""
    rows = comparison.rows
    moved = rows[rows["state"].isin(["agree", "differ"])]
    apart = int((moved["state"] == "differ").sum())
    facts = [
        f"{len(rows)} numbers and words, {int((rows['state'] == 'equal').sum())} equal",
        f"{len(moved)} with an interval moved: {apart} of their intervals share no point, "
        f"in {int(moved['within'].sum())} each value lies in the other's interval",
        f"{len(comparison.conclusions)} conclusions are others",
        f"{int(rows['state'].str.startswith('only').sum())} are on one side alone",
    ]
    return f"verdict: {comparison.verdict} ({'; '.join(facts)})"


def _moved(row: "pd.Series") -> str:
    sides = [f"{row[f'value_{side}']:.4g} [{row[f'low_{side}']:.4g}, {row[f'high_{side}']:.4g}]" for side in "ab"]
    return f"{row['halves']:6.2f}  {_place(row)}: {' -> '.join(sides)}"


def _place(row: "pd.Series") -> str:
    from clxai.exchange.tables import NAMES

    return " ".join(str(row[name]) for name in NAMES if row[name] != "")
