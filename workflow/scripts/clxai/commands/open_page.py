"""Open the explorer of a study, a page to look around in: images, maps, curves, heads."""

import argparse
import webbrowser

from clxai.commands.studies import find_study
from clxai.errors import ClxaiError

HELP = "open the explorer of a study"
EPILOG = """\
examples:
  clxai open
  clxai open mine
  clxai open results/studies/mine/digits --print

Without STUDY it is the one study below results/studies. The page needs no server; its address is printed too.

exit codes: 0 done; 1 no such study or no page yet, with the command that makes it; 2 wrong usage.
"""
PAGE = ("explorer", "index.html")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("study", nargs="?", metavar="STUDY", help="a study's name, or its folder results/studies/NAME/DATASET")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the address and open nothing")


def run(given: argparse.Namespace) -> int:
    """Open the page in the browser, and print its address."""
    folder = find_study(given.study)
    page = folder.joinpath(*PAGE)
    if not page.is_file():
        raise ClxaiError(f"{page} does not exist yet; this makes it: snakemake --cores 2 {page}")
    print(page.resolve().as_uri())
    if not given.only_print:
        webbrowser.open(page.resolve().as_uri())
    return 0
