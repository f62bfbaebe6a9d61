"""Lay out a study in an empty folder: config, Snakefile, profiles, README."""

import argparse
import re
import shutil
from pathlib import Path
from string import Template

from clxai import __version__
from clxai.commands.studies import CHECKOUT
from clxai.errors import ClxaiError

HELP = "lay out a study in an empty folder"
EPILOG = """\
examples:
  clxai new ~/mystudy
  clxai new . --name pilot
  cd ~/mystudy && clxai check && snakemake --cores 2

The Snakefile names the checkout whose rules and library run (--checkout, by default the one that this command is from), by the
`module` statement; nothing of yours lies in it.

exit codes: 0 done; 1 the folder is not empty, or there is no checkout; 2 wrong usage.
"""
_TEMPLATE = Path("workflow", "template")
_PROFILES = ("default", "workstation", "slurm")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that is empty or does not exist yet")
    parser.add_argument("--name", help="the study's name, small letters, digits and _ (default: from the folder's name)")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="the CLXAI checkout to use (default: this one)")


def run(given: argparse.Namespace) -> int:
    """Lay the study out and say what to do next."""
    files = lay_out(given.folder, given.checkout, given.name)
    print("\n".join(str(file) for file in files))
    print(f"\nnext: cd {given.folder} && clxai check && snakemake --cores 2")
    return 0


def lay_out(folder: Path, checkout: Path = CHECKOUT, name: str | None = None) -> list[Path]:
    """Write the files of a new study into a folder and return their paths.

    Raises ClxaiError if the folder holds anything or is a file, lies in the checkout, if there is no checkout, or if the name
    cannot be one of a study.
    """
    checkout, place = checkout.expanduser().resolve(), folder.expanduser().resolve()
    _check(place, checkout)
    told = {"checkout": str(checkout), "version": __version__, "name": study_name_of(name or place.name, given=name is not None)}
    written = []
    for source in sorted(path for path in (checkout / _TEMPLATE).rglob("*") if path.is_file()):
        target = place / source.relative_to(checkout / _TEMPLATE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(source.read_text(encoding="utf-8")).substitute(told), encoding="utf-8")
        written.append(target)
    for profile in _PROFILES:
        written.append(place / "profiles" / profile / "profile.yaml")
        written[-1].parent.mkdir(parents=True)
        shutil.copyfile(checkout / "profiles" / profile / "profile.yaml", written[-1])
    return written


def study_name_of(text: str, given: bool = True) -> str:
    """Return the name of a study: the text itself, or what a name can hold of it where it was not meant as one."""
    found = text if given else re.sub("[^a-z0-9_]", "_", text.lower()).strip("_") or "mine"
    if not re.fullmatch("[a-z0-9][a-z0-9_]*", found):
        raise ClxaiError(f"--name must be small letters, digits and _, beginning with a letter or digit. Got {text!r}")
    return found


def _check(place: Path, checkout: Path) -> None:
    if not (checkout / _TEMPLATE / "Snakefile").is_file():
        raise ClxaiError(
            f"{checkout} is no checkout of CLXAI (it has no {_TEMPLATE / 'Snakefile'}): the installed package brings the library "
            "without the workflow; clone the repository and name it by --checkout"
        )
    if re.search(r'["\\{}\n]', str(checkout)):
        raise ClxaiError(f"{checkout} cannot be written into a Snakefile: move the checkout to a path without quotes and braces")
    if place.is_relative_to(checkout):
        raise ClxaiError(
            f"{place} lies in the checkout {checkout}: choose a folder outside, so that updates do not touch your study"
        )
    if place.exists() and not place.is_dir():
        raise ClxaiError(f"{place} is a file: name a folder that is empty or does not exist yet")
    if place.is_dir() and (found := sorted(path.name for path in place.iterdir())):
        raise ClxaiError(f"{place} is not empty (it holds {found[0]!r}): name a folder that is empty or does not exist yet")
