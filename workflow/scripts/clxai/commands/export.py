"""Export a study for others: its tables and figures, all numbers as one table, a summary, and an RO-Crate with all checksums."""

import argparse
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clxai import __version__
from clxai.commands.studies import CHECKOUT, find_study
from clxai.errors import ClxaiError

HELP = "export a study: one table, summary, RO-Crate"
EPILOG = """\
examples:
  clxai export
  clxai export results/studies/mine/digits --to ~/mine_export
  clxai export answer --config config/answer.yaml --whole

The folder holds all numbers as results.parquet (where pyarrow is installed, by the extra `exchange`; else results.csv.gz),
summary.json, config.yaml, the study's tables, figures and page, the rules, and ro-crate-metadata.json: a Workflow Run RO-Crate
with size and SHA-256 of every artefact. Weights, maps and curves are named by their digest and left where they are; --whole
copies them too.

exit codes: 0 done; 1 the study is not finished, the folder is not empty, or the config is not that of the study; 2 wrong usage.
"""
SCHEMA = Path("workflow", "schemas", "config.schema.yaml")
DEFAULT = Path("config", "config.yaml")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("study", nargs="?", metavar="STUDY", help="a study's name, or its folder results/studies/NAME/DATASET")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where to (default: exports/NAME_DATASET)")
    parser.add_argument(
        "--config", type=Path, action="append", default=[], metavar="FILE", help=f"the study's config files (default: {DEFAULT})"
    )
    parser.add_argument("--author", help="who ran the study")
    parser.add_argument("--license", help="SPDX identifier of the licence of the results (default: that of CLXAI)")
    parser.add_argument("--whole", action="store_true", help="copy data, weights, maps and curves too")


def run(given: argparse.Namespace) -> int:
    """Export, and say where to."""
    import yaml

    from clxai.exchange.exporting import Told, can_write_parquet, export
    from clxai.runtime.artefacts import read_record, read_table

    study = find_study(given.study)
    design = read_record(study / "verdict.json")
    seeds = sorted(map(int, read_table(study / "tables" / "models.csv")["seed"].unique()))
    config = config_of({**design, "seeds": seeds}, given.config or [DEFAULT])
    told = Told(
        checkout=CHECKOUT,
        config=yaml.safe_dump(config, sort_keys=True),
        versions=versions(),
        license=given.license or license_of(CHECKOUT),
        author=given.author,
        whole=given.whole,
    )
    target = export(study, given.to or Path("exports", f"{design['name']}_{design['dataset']}"), told)
    print(target)
    if not can_write_parquet():
        print(
            "pyarrow is not installed: the numbers are in results.csv.gz; `pip install 'clxai[exchange]'` brings it, for Parquet"
        )
    return 0


def config_of(design: Mapping[str, Any], files: Sequence[Path], checkout: Path = CHECKOUT) -> dict[str, Any]:
    """Return the filled config of a study: the files merged, alone or over the checkout's default, whichever is the study's.

    `design` is what a finished study keeps of it, and its seeds in order. Raises ClxaiError if neither is.
    """
    from clxai.planning.filling import merged
    from clxai.planning.params import state_verdict

    found: list[object] = []
    for sources in ([*files], [checkout / DEFAULT, *files]):
        try:
            config = merged(sources, checkout / SCHEMA)
        except ClxaiError as error:
            found.append(error)
            continue
        told = {**state_verdict(config, SimpleNamespace(dataset=design["dataset"])), "seeds": sorted(config["study"]["seeds"])}
        differing = [key for key, value in told.items() if design.get(key) != value]
        if not differing:
            return config
        found.append(f"of {differing[0]} it has {told[differing[0]]!r}, the study {design.get(differing[0])!r}")
    names = ", ".join(map(str, files))
    raise ClxaiError(f"{names} is not the config of study {design['name']!r}: {found[0]}; name its files by --config")


def versions() -> dict[str, str]:
    """Return the versions of this library and of what it depends on, by name, as they are installed here."""
    try:
        needed = [requirement for requirement in requires("clxai") or () if "extra ==" not in requirement]
    except PackageNotFoundError:  # a checkout on the path, not installed
        needed = []
    names = sorted({_name(requirement) for requirement in needed} | {"numpy", "pandas", "torch", "snakemake"})
    return {"clxai": __version__, **{name: found for name in names if (found := _installed(name))}}


def license_of(checkout: Path) -> str:
    """Return the licence of the repository, an SPDX identifier, from its pyproject.toml."""
    import tomllib

    return tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["license"]


def _name(requirement: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in requirement).split()[0].lower()


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
