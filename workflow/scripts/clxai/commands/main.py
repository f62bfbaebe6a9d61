"""The command `clxai`: which subcommands there are, and what becomes of their errors."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from clxai import __version__
from clxai.commands import check, compare, estimate, export, listing, new, open_page, slice
from clxai.errors import ClxaiError

COMMANDS: Mapping[str, ModuleType] = {
    "new": new,
    "check": check,
    "estimate": estimate,
    "slice": slice,
    "list": listing,
    "open": open_page,
    "compare": compare,
    "export": export,
}
EPILOG = """\
examples:
  clxai new ~/mystudy                      lay out a study in an empty folder
  cd ~/mystudy && clxai check              is its config right, and what would run?
  clxai list methods                       what can be chosen
  clxai open                               the page of a finished study
  clxai compare results/studies/mine/digits ~/theirs

exit codes: 0 done; 1 an error, said in one line; 2 wrong usage. `clxai compare` has more: see its --help.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="clxai",
        description="Is pixel flipping a trustworthy test of explanations? Lay out, check, look at and exchange studies.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"clxai {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        text = module.__doc__.partition("\n\n")[0]
        added = commands.add_parser(
            name,
            help=module.HELP,
            description=text,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(added)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 an error that was said in one line; what else a command says.

    Raises SystemExit with 2 on wrong usage, as argparse does, and with 0 after --help and --version.
    """
    arguments = parser().parse_args(argv)
    try:
        return COMMANDS[arguments.command].run(arguments)
    except ClxaiError as error:
        print(f"clxai {arguments.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `clxai list methods | head`
        sys.stderr.close()
        return 0


def run() -> None:
    """Entry of the installed command."""
    sys.exit(main())


if __name__ == "__main__":
    run()
