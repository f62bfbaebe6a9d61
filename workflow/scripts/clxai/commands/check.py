"""Check a config as Snakemake would before any job, and say what would run; nothing is run."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from clxai.commands.planned import Plan, planned
from clxai.commands.studies import CHECKOUT
from clxai.errors import ClxaiError

HELP = "check a config and say what would run"
EPILOG = """\
examples:
  clxai check                               the study of this folder
  clxai check config/fashionmnist.yaml      as `snakemake --configfile config/fashionmnist.yaml` would
  clxai check --all                         count finished jobs too

The Snakefile is that of this folder, as Snakemake finds it, else that of the checkout that this command is from, whose
default config is then read first.

exit codes: 0 the config is right; 1 it is not, said in one line; 2 wrong usage.
"""
_SNAKEFILES = ("Snakefile", "workflow/Snakefile")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", nargs="*", type=Path, metavar="CONFIG", help="config files, merged in this order")
    parser.add_argument("-s", "--snakefile", type=Path, help="the workflow (default: that of this folder, else of the checkout)")
    parser.add_argument("-d", "--directory", type=Path, default=Path(), help="where results lie (default: here)")
    parser.add_argument("--all", action="store_true", dest="everything", help="as if nothing were finished yet")


def run(given: argparse.Namespace) -> int:
    """Plan, and print the plan."""
    require_files(given.config)
    plan = planned(given.snakefile or snakefile_here(given.directory), given.config, given.directory, given.everything)
    print("\n".join(words(plan)))
    return 0


def require_files(configs: Sequence[Path]) -> None:
    """Raise ClxaiError if a config file is not there."""
    for file in configs:
        if not file.is_file():
            raise ClxaiError(f"{file}: no such config file")


def snakefile_here(folder: Path, checkout: Path = CHECKOUT) -> Path:
    """Return the Snakefile of a folder, else that of the checkout. Raises ClxaiError if there is none."""
    for candidate in [*(folder / name for name in _SNAKEFILES), checkout / "Snakefile"]:
        if candidate.is_file():
            return candidate
    raise ClxaiError(
        "there is no Snakefile here, and the installed package brings none: `clxai new DIR` lays out a study, or -s FILE"
    )


def words(plan: Plan) -> list[str]:
    """Return the lines that say what would run: jobs by rule, and over which names."""
    if not plan.jobs:
        return ["the config is right; nothing is left to run"]
    width = max(map(len, plan.jobs))
    lines = [f"{rule:{width}} {count:>6}" for rule, count in plan.jobs.items()]
    names = [f"{level + ':':9} {', '.join(values)}" for level, values in plan.levels.items()]
    return [*names, "", *lines, f"{'jobs':{width}} {sum(plan.jobs.values()):>6}", "", "the config is right"]
