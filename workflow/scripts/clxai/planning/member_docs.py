"""Writes the tables of members in README.md and docs/methods.md: `python -m clxai.planning.member_docs`.

The tables of the README are written as a whole. Those of docs/methods.md keep what only a person can write, formulae and sources,
row by row; which rows there are, and all that the code declares, is written anew. A member without a row gets one, with the first
sentence of its docstring for a formula.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from clxai.planning.config_docs import markdown_table
from clxai.registry import LIBRARY, PLACES, Declaration, declared

ROOT = LIBRARY.parents[2]
README, METHODS = ROOT / "README.md", ROOT / "docs" / "methods.md"
BEGIN, END = "<!-- members, generated: {} -->\n", "<!-- end of members -->\n"
_BEGIN = re.compile(r"<!-- members, generated: ([\w ]+) -->\n")
_SOURCE = re.compile(r" ?\[([A-Z][^\]]*\b\d{4}[^\]]*)\]")
_CHANNELS = {"sum": "sum", "abs_sum": "sum of magnitudes", "mean": "mean", "none": ""}
_BETTER = {1: "higher", -1: "lower", 0: "-"}

Cell = Callable[[Declaration], str]


def _better(member: Declaration) -> str:
    return _BETTER[member.semantics["better"]]


def _range(member: Declaration) -> str:
    low, high = ("" if member.semantics[end] is None else f"{member.semantics[end]:g}" for end in ("low", "high"))
    return f"{low}..{high}" if low or high else "any"


def _channels(member: Declaration) -> str:
    return _CHANNELS[member.semantics["reduction"]]


def _signed(member: Declaration) -> str:
    own = "yes" if member.semantics["signed"] else "no"
    return {"nothing": own, "file": "as declared"}.get(member.semantics["borrows"], "as `of`")


def _layers(member: Declaration) -> str:
    return "`{}` to `{}`".format(*(member.semantics["layers"][end] for end in (0, -1)))


def _fact(name: str) -> Cell:
    return lambda member: str(member.semantics[name])


# Of each table of docs/methods.md its columns after the name: what the code declares of a member, or None for what is written by
# hand.
COLUMNS: Mapping[str, Mapping[str, Cell | None]] = {
    "networks": {"what": None, "features": None, "layers": _layers, "smallest image": None},
    "losses": {"formula": None, "top": _fact("top"), "source": None},
    "heads": {"works on": None, "`s_c`": None, "source": None},
    "methods": {"definition": None, "channels": _channels, "signed": _signed, "source": None},
    "analyses": {"definition": None, "returns": _fact("payload"), "scope": _fact("scope"), "source": None},
    "units": {"an image is cut into": None},
    "fills": {"removed pixels become": None, "needs": _fact("needs")},
    "metrics": {"formula": None, "range": _range, "better": _better},
    "trust": {"needs": None, "formula": None, "null": None, "better": _better},
}
# Of each table of the README the families that it shows.
SHOWN = {"parts": ("sources", "networks", "losses", "heads", "fills", "units"), "methods": ("methods",), "metrics": ("metrics",)}


def with_tables(page: str, table: Callable[[str, str], str]) -> str:
    """Return a page with `table(name, text)` for the text between each pair of marks."""
    parts = _BEGIN.split(page)
    for place in range(1, len(parts), 2):
        name, (text, rest) = parts[place], parts[place + 1].split(END)
        parts[place : place + 2] = [BEGIN.format(name), table(name, text) + END + rest]
    return "".join(parts)


def kept_table(family: str, text: str) -> str:
    """Return a table of docs/methods.md, the cells that are written by hand taken over from the text."""
    members, columns, rows = declared(family), COLUMNS[family], []
    for names, old in _rows_of(text):
        if known := [name for name in names if name in members]:
            rows.append([_listed(known), *_cells([members[name] for name in known], columns, old)])
    missing = [name for name in members if not any(f"`{name}`" in row[0] for row in rows)]
    hand = next(column for column, cell in columns.items() if cell is None)
    rows += [[_listed([name]), *_cells([members[name]], columns, {hand: _sentence(members[name])})] for name in missing]
    return markdown_table((PLACES[family].what.split()[-1], *columns), rows)


def _cells(own: Sequence[Declaration], columns: Mapping[str, Cell | None], old: Mapping[str, str]) -> Iterator[str]:
    """Yield the cells of a row after its names; where its members differ, one word for each."""
    for column, cell in columns.items():
        found = [] if cell is None else [cell(member) for member in own]
        yield old.get(column, "") if cell is None else found[0] if len(set(found)) == 1 else ", ".join(found)


def _rows_of(text: str) -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """Yield the names that each row of a table is about, and its other cells by column."""
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines()]
    for line in lines[2:]:
        yield re.findall(r"`(\w+)`", line[0]), dict(zip(lines[0][1:], line[1:], strict=True))


def shown_table(name: str, text: str = "") -> str:
    """Return a table of the README: what each member is, whose it is, and where; members of one text share a row."""
    rows = []
    for family in SHOWN[name]:
        shared: dict[tuple[Path, str], list[str]] = {}
        for member in declared(family).values():
            shared.setdefault((member.file, member.text), []).append(member.name)
        for (file, _), names in shared.items():
            source = ", ".join(_SOURCE.findall(declared(family)[names[0]].text))
            module = f"`{file.relative_to(LIBRARY).with_suffix('')}`"
            rows.append([PLACES[family].what, _listed(names), _sentence(declared(family)[names[0]]), source, module])
    single = len(SHOWN[name]) == 1
    header = ("kind", PLACES[SHOWN[name][0]].what if single else "name", "what", "source", "module")
    return markdown_table(header[single:], [row[single:] for row in rows])


def plain_sentence(member: Declaration) -> str:
    """Return the first sentence of a member's text without its sources and its full stop."""
    return _SOURCE.sub("", member.text).partition(". ")[0].rstrip(".")


def _sentence(member: Declaration) -> str:
    """Return the first sentence of a member's text for a cell of a table."""
    text = plain_sentence(member).replace("|", "\\|")
    return "`".join(part if place % 2 else part.replace("*", "\\*") for place, part in enumerate(text.split("`")))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    """Write the tables of both pages."""
    README.write_text(with_tables(README.read_text(), shown_table))
    METHODS.write_text(with_tables(METHODS.read_text(), kept_table))


if __name__ == "__main__":
    main()
