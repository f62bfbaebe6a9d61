"""What belongs to a study on the disk: each artefact with its size and SHA-256."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clxai.errors import ClxaiError
from clxai.names import FOLDERS, STUDIES
from clxai.runtime.artefacts import read_table
from clxai.runtime.integrity import file_digest

_PASSING = ("logs", "benchmarks")  # folders of what differs from run to run
_DATA = FOLDERS[0]


@dataclass(frozen=True)
class Artefact:
    """A file of a study: its name as two laboratories share it, where it lies, bytes, and SHA-256 in hexadecimal digits.

    The name is the path below the folder of the study (`tables/summary.csv`) or of its data set (`ce/seed0/model.safetensors`).
    `own` says that it is of the study alone.
    """

    name: str
    path: Path
    size: int
    sha256: str
    own: bool


def inventory(study: Path) -> list[Artefact]:
    """Return the artefacts of a finished study, `results/studies/{study}/{dataset}`, sorted: its own, then those of its runs.

    Its own are all files of its folder; of the shared ones the prepared data and samples, and of each model and seed in its
    tables the weights, records, embeddings and heads, the maps and curves of its methods and units, and what its analyses found.
    Logs and benchmarks are left out. Raises ClxaiError if the folder is not that of a study.
    """
    tables = study / "tables"
    if not (tables / "models.csv").is_file():
        raise ClxaiError(f"{study} is not the folder of a finished study: it has no tables/models.csv")
    own = [_artefact(path, study, True) for path in _files(study)]
    results = study.resolve().parents[2]
    if study.resolve().parents[1].name != STUDIES or not (results / study.resolve().name).is_dir():
        return own  # moved, or a copy of the tables alone
    home = results / study.resolve().name
    models, maps = (read_table(tables / f"{name}.csv") for name in ("models", "maps"))
    analyses = {*read_table(tables / "analyses.csv")["analysis"]} if (tables / "analyses.csv").is_file() else set()
    return own + [_artefact(path, home, False) for path in _shared(home, models, maps, analyses)]


def compared(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names of artefacts, given with their digests, that are equal, that differ, or that only one side has."""
    both = sorted(one.keys() & other.keys())
    return {
        "equal": [name for name in both if one[name] == other[name]],
        "differ": [name for name in both if one[name] != other[name]],
        "only in A": sorted(one.keys() - other.keys()),
        "only in B": sorted(other.keys() - one.keys()),
    }


def _artefact(path: Path, home: Path, own: bool) -> Artefact:
    return Artefact(path.relative_to(home).as_posix(), path, path.stat().st_size, file_digest(path), own)


def _files(folder: Path) -> list[Path]:
    """Return the files below a folder, hidden ones, logs and benchmarks left out."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    parts = ((path, path.relative_to(folder).parts) for path in found)
    return [path for path, names in parts if names[0] not in _PASSING and not any(name.startswith(".") for name in names)]


def _shared(home: Path, models: pd.DataFrame, maps: pd.DataFrame, analyses: set[str]) -> Iterator[Path]:
    """Yield the files of a data set that belong to a study, by its tables of models and maps and the names of its analyses."""
    methods, units = {*maps["method"]}, {*maps["units"]}
    yield from _files(home / _DATA) if (home / _DATA).is_dir() else ()
    for model, seed in models[["model", "seed"]].itertuples(index=False):
        run = home / str(model) / f"seed{seed}"
        for path in _files(run):
            kind = path.relative_to(run).parts[0]
            of_method = kind not in ("attributions", "curves", "stability") or path.stem in methods
            if kind == "analyses" and path.stem not in analyses:
                continue
            if of_method and (kind not in ("curves", "stability") or path.parent.name in units):
                yield path
