"""An export of a study: a folder with its tables and figures, all numbers as one table, a summary, and an RO-Crate manifest."""

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from clxai.errors import ClxaiError
from clxai.exchange.crate import METADATA, README, Crate, Part, metadata
from clxai.exchange.inventory import Artefact, inventory
from clxai.exchange.sides import SUMMARY
from clxai.exchange.tables import read_tables, tidy
from clxai.runtime.artefacts import read_record, write_record
from clxai.runtime.integrity import file_digest
from clxai.verdict.page import answers
from clxai.verdict.records import Study
from clxai.verdict.rules import verdict_of
from clxai.verdict.wording import sentence

RESULTS = "results"  # the tidy table, without its ending
_INSIDE = "results"  # the folder of the shared artefacts in an export that holds them
_RUN_FACTS = ("device", "cpu_capability", "torch", "numpy")  # of models.csv: where and with what models were trained
_README = """\
# CLXAI study {name} of {dataset}

Exported by `clxai export`. Begin with `verdict.md`: what was found, what was not, what cannot be said.

- `results.parquet` or `results.csv.gz`: each number of `tables/` (but those per image) once, with its interval
- `summary.json`: design, answer, self-checks, versions, and name, bytes and SHA-256 of every artefact
- `config.yaml`: the config, all defaults filled in; `Snakefile`, `rules/`, `workflow/`: the workflow that ran
- `ro-crate-metadata.json`: all files and the run that made them, as a Workflow Run RO-Crate

`clxai compare FOLDER_OF_YOURS THIS_FOLDER` says whether another run found the same.
"""


@dataclass(frozen=True)
class Told:
    """What a study's files do not say.

    `checkout` is where the workflow lies, `config` the text of the filled config, `versions` those of the software that exports,
    `license` an SPDX identifier, `whole` whether shared artefacts are copied too.
    """

    checkout: Path
    config: str
    versions: Mapping[str, str]
    license: str
    author: str | None = None
    whole: bool = False
    workflow: Sequence[str] = field(default=("Snakefile", "workflow/Snakefile", "rules"))


def export(study: Path, target: Path, told: Told) -> Path:
    """Write an export of a finished study into a folder that is empty or does not exist yet; return its path.

    The folder appears whole or not at all. Raises ClxaiError if the folder is not empty, or if the study is not finished.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ClxaiError(f"{target} is there already: name a folder that is empty or does not exist yet (--to)")
    design, artefacts = read_record(study / "verdict.json"), inventory(study)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as made:
        folder = Path(made) / "export"
        parts = [*_copied(artefacts, folder, told), *_written(study, design, artefacts, folder, told)]
        crate = _crate(design, artefacts, parts, told)
        (folder / METADATA).write_text(json.dumps(metadata(crate), indent=2) + "\n", encoding="utf-8")
        if target.exists():
            target.rmdir()
        folder.rename(target)
    return target


def can_write_parquet() -> bool:
    """Say whether pyarrow is installed, without which the tidy table is a CSV file."""
    return importlib.util.find_spec("pyarrow") is not None


def write_tidy(table: pd.DataFrame, folder: Path) -> Path:
    """Write the tidy table as Parquet where pyarrow is installed, else as gzipped CSV; return its path."""
    if can_write_parquet():
        table.to_parquet(folder / f"{RESULTS}.parquet", engine="pyarrow", index=False)
        return folder / f"{RESULTS}.parquet"
    path = folder / f"{RESULTS}.csv.gz"
    table.to_csv(path, index=False, lineterminator="\n", compression={"method": "gzip", "mtime": 0})
    return path


def summary(study: Path, design: Mapping[str, Any], artefacts: Sequence[Artefact], told: Told) -> dict[str, Any]:
    """Return the summary: design, answer in sentences, self-checks, where models were trained, versions, all artefacts."""
    tables = read_tables(study / "tables")
    models, checks = tables["models"], tables["checks"]
    statements = verdict_of({"": Study(tables=tables, **design)})
    return {
        "study": dict(design),
        "answer": [sentence(one) for one in answers(statements)],
        "checks": {str(result): int(count) for result, count in checks["result"].value_counts().sort_index().items()},
        "trained_with": {fact: sorted(map(str, models[fact].unique())) for fact in _RUN_FACTS if fact in models},
        "exported_with": dict(told.versions),
        "license": told.license,
        "rows": {name: len(table) for name, table in tables.items()},
        "artefacts": [{"name": one.name, "bytes": one.size, "sha256": one.sha256, "own": one.own} for one in artefacts],
    }


def _copied(artefacts: Sequence[Artefact], folder: Path, told: Told) -> Iterator[Part]:
    """Copy what belongs to the study alone, shared artefacts where they are wanted, and the workflow; yield all as parts."""
    for one in artefacts:
        inside = one.name if one.own else f"{_INSIDE}/{one.name}" if told.whole else None
        if inside is not None:
            _copy(one.path, folder / inside)
        yield Part(one.name, one.size, one.sha256, inside, "result")
    for name in told.workflow:
        source = told.checkout / name
        for path in sorted(source.glob("*.smk")) if source.is_dir() else [source]:
            inside = path.relative_to(told.checkout).as_posix()
            _copy(path, folder / inside)
            yield _part(folder, inside, "workflow")


def _written(study: Path, design: Mapping[str, Any], artefacts: Sequence[Artefact], folder: Path, told: Told) -> Iterator[Part]:
    """Write what an export adds; yield it as parts."""
    (folder / README).write_text(_README.format(**design), encoding="utf-8")
    yield _part(folder, README)
    (folder / "config.yaml").write_text(told.config, encoding="utf-8")
    yield replace(_part(folder, "config.yaml", "object"), description="The config of the study, all defaults filled in")
    table = write_tidy(tidy(read_tables(study / "tables")), folder)
    yield replace(_part(folder, table.name), description="All numbers of the tables, one per row, with their intervals")
    write_record(summary(study, design, artefacts, told), folder / SUMMARY)
    yield replace(_part(folder, SUMMARY), description="Design, answer, checks, versions, and the digest of each artefact")


def _crate(design: Mapping[str, Any], artefacts: Sequence[Artefact], parts: Sequence[Part], told: Told) -> Crate:
    ended = max(one.path.stat().st_mtime for one in artefacts if one.own)
    return Crate(
        name=f"CLXAI study {design['name']} of {design['dataset']}",
        description=f"Pixel flipping of models {', '.join(design['models'])} by methods {', '.join(design['methods'])}",
        workflow="workflow/Snakefile",
        ended=datetime.fromtimestamp(int(ended), UTC).isoformat(),
        license=told.license,
        versions=told.versions,
        author=told.author,
        parts=parts,
    )


def _part(folder: Path, inside: str, role: str = "") -> Part:
    path = folder / inside
    return Part(inside, path.stat().st_size, file_digest(path), inside, role)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
