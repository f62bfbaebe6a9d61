"""A side of a comparison: a finished study, an export of one, or a run of committed results."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clxai.errors import ClxaiError, unknown_name
from clxai.exchange.inventory import inventory
from clxai.exchange.tables import read_tables
from clxai.runtime.artefacts import read_record

RUN, DESIGN = "cpu", "design.json"  # of committed results: the column that says of which run a row is; the design beside them
SUMMARY = "summary.json"  # of an export


@dataclass(frozen=True)
class Side:
    """Where it lies, its tables by name, and the SHA-256 of its artefacts by name; `kept` says that it is of committed results.

    These hold some rows and columns of the tables, with fewer digits.
    """

    folder: Path
    tables: Mapping[str, pd.DataFrame]
    digests: Mapping[str, str]
    kept: bool = False


def read_side(given: str) -> Side:
    """Return a side by what a user names: a folder, or `FOLDER@RUN` for one of the runs that committed results hold.

    Raises ClxaiError if the folder is none of the three, or if the run is not there.
    """
    place, _, run = given.partition("@")
    folder = Path(place)
    if (folder / "tables").is_dir():
        return Side(folder, read_tables(folder / "tables"), _digests(folder))
    if (folder / DESIGN).is_file():
        return Side(folder, _of_run(read_tables(folder), run, folder), {}, kept=True)
    raise ClxaiError(
        f"{folder} is no finished study (results/studies/NAME/DATASET), no export (of `clxai export`) and no committed results "
        "(docs/results/NAME)"
    )


def _digests(folder: Path) -> dict[str, str]:
    if (folder / SUMMARY).is_file():
        return {entry["name"]: entry["sha256"] for entry in read_record(folder / SUMMARY)["artefacts"]}
    return {artefact.name: artefact.sha256 for artefact in inventory(folder)}


def _of_run(tables: Mapping[str, pd.DataFrame], run: str, folder: Path) -> dict[str, pd.DataFrame]:
    """Return the rows of a run, without the column that names it; of the only one where none is named."""
    known = sorted({name for table in tables.values() for name in table[RUN].unique()})
    if not run and len(known) > 1:
        raise ClxaiError(f"{folder} holds the runs {', '.join(known)}: name one, as in {folder}@{known[0]}")
    if run and run not in known:
        raise unknown_name(f"run of {folder}", run, known)
    return {name: table[table[RUN] == (run or known[0])].drop(columns=RUN) for name, table in tables.items()}
