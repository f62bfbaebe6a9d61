"""List what can be chosen, with what each member needs and gives, its options and their defaults."""

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from clxai.planning.member_docs import plain_sentence
from clxai.registry import COMMON, PLACES, Declaration, declared, keywords_of

HELP = "list what can be chosen, and what each needs"
EPILOG = """\
examples:
  clxai list methods
  clxai list fills --json

Each member shows what it declares beside the defaults of its family, then its options. The formulae are in docs/methods.md.

exit codes: 0 done; 2 no such family.
"""
_INDENT = "    "


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("family", choices=sorted(PLACES), metavar="FAMILY", help=f"one of {', '.join(PLACES)}")
    parser.add_argument("--json", action="store_true", help="as JSON, all keywords included")


def run(given: argparse.Namespace) -> int:
    """Print the members of a family."""
    if given.json:
        print(json.dumps([record(member) for member in declared(given.family).values()], indent=2))
        return 0
    width = max(60, min(130, shutil.get_terminal_size((100, 24)).columns))
    print("\n".join(line for member in declared(given.family).values() for line in lines(member, given.family, width)))
    return 0


def record(member: Declaration) -> dict[str, Any]:
    """Return what is known of a member as plain values: name, text, and every keyword."""
    return {"name": member.name, "what": member.text, **member.semantics}


def lines(member: Declaration, family: str, width: int) -> Iterator[str]:
    """Yield the lines of a member: its name and first sentence, what it declares beside the defaults, its options."""
    yield member.name
    for words in (plain_sentence(member), _in_words(facts(member, family)), options(member)):
        if words:
            yield textwrap.fill(words, width, initial_indent=_INDENT, subsequent_indent=_INDENT)


def facts(member: Declaration, family: str) -> dict[str, Any]:
    """Return the keywords of a member that its family has beside the common ones, where they are not the default."""
    own = {name: schema for name, schema in keywords_of(family).items() if name not in COMMON}
    return {
        name: member.semantics[name]
        for name, schema in own.items()
        if "default" not in schema or json.dumps(member.semantics[name]) != json.dumps(schema["default"])
    }


def options(member: Declaration) -> str:
    """Return the options of a member with their defaults, in words; nothing if it has none."""
    found = _in_words(member.semantics["options"])
    return f"options: {found}" if found else ""


def _in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_word(value)}" for name, value in values.items())


def _word(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return " ".join(map(_word, value)) if isinstance(value, list | tuple) else str(value)
