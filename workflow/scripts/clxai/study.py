"""A study that was run, opened by its place: every file that it produced, read when it is asked for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
import xarray

from clxai.data.datasets import ImageData, open_prepared
from clxai.errors import ClxaiError, unknown_name
from clxai.exchange.sides import DESIGN
from clxai.fitted import FittedHeads
from clxai.names import STUDIES
from clxai.networks.inference import Encoder
from clxai.runs import Run, open_run
from clxai.runtime.artefacts import existing, read_arrays, read_record, read_table

KINDS = {"attributions": ("model", "seed", "sample", "method"), "curves": ("model", "seed", "sample", "units", "method")}
SINGLE = ("sample", "units")  # levels whose files differ in their images or steps: they cannot lie in one array


class Tables(Mapping[str, Any]):
    """The tables of a folder by name, each read when it is asked for, once."""

    def __init__(self, folder: Path) -> None:
        self.files = {file.stem: file for file in sorted(folder.glob("*.csv"))}
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self.files:
            raise unknown_name("table", name, self.files)
        if name not in self._read:
            self._read[name] = read_table(self.files[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class StudyResults:
    """What a study produced for one data set.

    `path` is `results/studies/{study}/{dataset}`, or a folder of its tables alone; `tables` are pandas by name (`summary`,
    `images`, `curves`, `contrasts`, `trust`, ...), `design` says which models and methods it has. Arrays are those of the runs of
    the study, in `results/{dataset}`: they are read file by file, when they are asked for, and compared with their checksums.
    """

    path: Path
    tables: Tables
    design: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """What was found, what was not and what cannot be said: the page, in Markdown."""
        return existing(self.path / "verdict.md").read_text()

    @property
    def runs(self) -> Path:
        """The folder of the runs of the data set, which studies share."""
        return self.path.parents[2] / self.path.name

    @cached_property
    def data(self) -> ImageData:
        """The images of the data set, in their file, with labels, splits and names of classes."""
        folder = self.runs / "data"
        return open_prepared(self.path.name, folder / "images.npy", folder / "labels.nc")

    def files(self, kind: str) -> pd.DataFrame:
        """Return the files of the study's `attributions` or `curves`: one row each, what it is of, and `path`.

        Raises ClxaiError on another kind.
        """
        if kind not in KINDS:
            raise unknown_name("kind of arrays", kind, KINDS)
        found = [self._place(kind, file) for file in sorted(self.runs.glob(f"*/seed*/{kind}/**/*.nc"))]
        table = pd.DataFrame(found, columns=[*KINDS[kind], "path"])
        for level, names in self._levels().items():
            table = table[table[level].isin(names)] if level in table else table
        return table.reset_index(drop=True)

    def attributions(self, **where: Any) -> xarray.Dataset:
        """Return maps [model, seed, method, head, image, y, x] with what was recorded of them.

        `where` chooses by model, seed, sample and method, each one or several; an axis of which one is chosen is left out. Heads
        that a model lacks are NaN. Raises ClxaiError where nothing is found, and where samples would have to be mixed.
        """
        return self._arrays("attributions", where)

    def curves(self, **where: Any) -> xarray.Dataset:
        """Return curves [model, seed, method, explained_by, scored_by, fill, order, image, step], as `attributions` returns maps.

        `where` may also name `units`: of one only, since the steps of others are others.
        """
        return self._arrays("curves", where)

    def analysis(self, name: str, model: str, seed: int) -> xarray.Dataset:
        """Return what an analysis found of one training. Raises ClxaiError, with the nearest name, if it has not been run."""
        found = {file.stem: file for file in sorted((self.folder(model, seed) / "analyses").glob("*/*.nc"))}
        if name not in found:
            raise unknown_name("analysis", name, found)
        return read_arrays(found[name])

    def embeddings(self, model: str, seed: int) -> xarray.Dataset:
        """Return the embeddings [image, feature] of all images of the data set by one training."""
        return read_arrays(self.folder(model, seed) / "embeddings.nc")

    def run(self, model: str, seed: int, device: str | torch.device = "cpu") -> Run:
        """Return one training as the jobs of the study see it: data, network, heads and embeddings."""
        folder, data = self.folder(model, seed), self.runs / "data"
        files = SimpleNamespace(
            images=data / "images.npy",
            labels=data / "labels.nc",
            model=str(folder / "model.safetensors"),
            embeddings=[str(folder / "embeddings.nc")],
            heads=[str(folder / "heads" / f"{name}.safetensors") for name in self._heads_of(model, seed)],
        )
        return open_run(files, self.path.name, torch.device(device))

    def network(self, model: str, seed: int, device: str | torch.device = "cpu") -> Encoder:
        """Return the trained network of one training."""
        return self.run(model, seed, device).encoder

    def heads(self, model: str, seed: int, device: str | torch.device = "cpu") -> FittedHeads:
        """Return the fitted heads of one training, for `flip` and `explain`."""
        return FittedHeads.of(self.run(model, seed, device), read_table(self.folder(model, seed) / "heads" / "metrics.csv"))

    def folder(self, model: str, seed: int) -> Path:
        """Return the folder of one training. Raises ClxaiError if it is not there."""
        folder = self.runs / model / f"seed{seed}"
        if not folder.is_dir():
            raise ClxaiError(f"{folder}: no such training; the study's tables are there without its runs, or names are wrong")
        return folder

    def _heads_of(self, model: str, seed: int) -> list[str]:
        """Return the heads of a training in the order of the study, as its maps have them; without maps all, by name."""
        maps = self.files("attributions").query("model == @model and seed == @seed")["path"]
        if maps.empty:
            return sorted(file.stem for file in (self.folder(model, seed) / "heads").glob("*.safetensors"))
        return read_arrays(maps.iloc[0], leave_out=("attribution",))["head"].values.tolist()

    def _levels(self) -> dict[str, set[Any]]:
        """Return the names of models, seeds, units and methods of the study, as its table of maps has them."""
        if "maps" not in self.tables:
            return {}
        return {level: set(self.tables["maps"][level]) for level in ("model", "seed", "units", "method")}

    def _place(self, kind: str, file: Path) -> dict[str, Any]:
        """Return what the place of a file says: `{model}/seed{seed}/{kind}/{sample}[/{units}]/{method}.nc`."""
        model, seed, _, *levels = file.relative_to(self.runs).with_suffix("").parts
        names = (model, int(seed.removeprefix("seed")), *levels)
        return {**dict(zip(KINDS[kind], names, strict=True)), "path": file}

    def _arrays(self, kind: str, where: Mapping[str, Any]) -> xarray.Dataset:
        rows = self.files(kind)
        for level, given in where.items():
            if level not in KINDS[kind]:
                raise unknown_name(f"axis of {kind}", level, KINDS[kind])
            chosen = [given] if isinstance(given, str | int) else list(given)
            known = rows[level].unique().tolist()
            rows = rows[rows[level].isin(chosen)]
            if rows.empty:
                raise ClxaiError(f"{self.path}: no {kind} of {level} {given!r}. Known: {', '.join(map(str, known)) or 'none'}")
        if rows.empty:
            raise ClxaiError(f"{self.path}: no {kind} in {self.runs}")
        for level in SINGLE:
            if level in rows and rows[level].nunique() > 1:
                raise ClxaiError(f"choose one of the {level}, as in {level}={rows[level].iloc[0]!r}. Got {rows[level].unique()}")
        return _joined(rows, [level for level in KINDS[kind] if level not in SINGLE])


def load_study(path: str | Path) -> StudyResults:
    """Open what a study produced: `results/studies/{study}/{dataset}`, or `results/studies/{study}` where it has one data set.

    A folder of tables alone, as those committed in `docs/results`, gives tables, design and verdict. Nothing else is read yet.
    Raises ClxaiError where there is no study, and where it has several data sets.
    """
    given = Path(path)
    homes = [given] if _is_home(given) else sorted(folder for folder in given.glob("*") if _is_home(folder))
    if len(homes) != 1:
        found = f"several data sets: {', '.join(home.name for home in homes)}" if homes else "no tables"
        raise ClxaiError(f"{given}: a finished study is at results/{STUDIES}/{{study}}/{{dataset}}. Found {found}")
    home = homes[0].resolve()
    return StudyResults(home, Tables(_tables_of(home)), _design_of(home))


def _tables_of(home: Path) -> Path:
    return home / "tables" if (home / "tables").is_dir() else home


def _design_of(home: Path) -> dict[str, Any]:
    """Return the design of a study, or the one that is kept beside committed tables, without a checksum; empty without either."""
    kept = home / DESIGN
    if (home / "verdict.json").is_file():
        return read_record(home / "verdict.json")
    return json.loads(kept.read_text()) if kept.is_file() else {}


def _is_home(folder: Path) -> bool:
    return (_tables_of(folder) / "summary.csv").is_file()


def _joined(rows: pd.DataFrame, levels: Sequence[str]) -> xarray.Dataset:
    """Return the arrays of some files as one, with an axis for each level of which there are several."""
    if not levels:
        (path,) = rows["path"]
        return read_arrays(path)
    level, *rest = levels
    parts = {value: _joined(own, rest) for value, own in rows.groupby(level, sort=False)}
    if len(parts) == 1:
        ((value, only),) = parts.items()
        return only.assign_coords({level: value})
    axis = pd.Index(parts, name=level)
    return xarray.concat(parts.values(), axis, data_vars="all", join="outer", combine_attrs="drop_conflicts")
