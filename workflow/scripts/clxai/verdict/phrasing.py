"""Pieces of sentences: numbers with intervals, names, what numbers count over, and the rows that they are from."""

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any

from clxai.names import ALL
from clxai.verdict.records import Evidence, Statement

DIGITS = 2  # of differences and means
UNDEFINED = "undefined"
LONGEST_SOURCE = 120  # characters
_PLURAL = {"minus": "minus", "units": "units"}
_COUNTED = {"minus": "others", "units": "units"}


def number(value: float | None, digits: int = DIGITS) -> str:
    """Return a number as printed everywhere; one that is not finite is called undefined."""
    if value is None or not isfinite(value):
        return UNDEFINED
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero


def interval(evidence: Evidence, digits: int = DIGITS) -> str:
    """Return a number with its label and its interval: `matched 0.12 [0.03, 0.21]`."""
    ends = f" [{number(evidence.low, digits)}, {number(evidence.high, digits)}]" if evidence.low is not None else ""
    text = UNDEFINED if not isfinite(evidence.value) else f"{number(evidence.value, digits)}{ends}"
    return " ".join(part for part in (evidence.run, evidence.label, text) if part)


def intervals(numbers: Iterable[Evidence]) -> str:
    """Return numbers with their intervals, with commas."""
    return ", ".join(interval(one) for one in numbers)


def listed(names: Iterable[str]) -> str:
    """Return names as code, with commas."""
    return ", ".join(f"`{name}`" for name in names)


def p_value(value: float | None) -> str:
    """Return a p-value with its sign: `= 0.012`."""
    if value is None or not isfinite(value):
        return UNDEFINED
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def size(statement: Statement) -> str:
    """Return what the numbers count over, as ` (3 seeds, 30 images)`."""
    parts = []
    for word, counts in (
        ("seed", [one.n_seeds for one in statement.evidence]),
        ("image", [one.n_images for one in statement.evidence]),
    ):
        found = sorted({count for count in counts if count is not None})
        if found:
            parts.append(f"{found[0]}{'' if len(found) == 1 else f' to {found[-1]}'} {word}{'' if found == [1] else 's'}")
    return f" ({', '.join(parts)})" if parts else ""


def size_within(statement: Statement) -> str:
    """Return the same for a place within brackets, as `; 3 seeds, 30 images`."""
    return size(statement).replace(" (", "; ").removesuffix(")")


def versions(statement: Statement) -> Sequence[Any]:
    """Return the facts of the statement, those of each run where there are several."""
    return statement.about.get("versions", [statement.about])


def fact(statement: Statement, name: str, show: Callable[[Any], str] = str) -> str:
    """Return a fact of the statement; of several runs that differ in it, each in their order."""
    return " / ".join(dict.fromkeys(show(version[name]) for version in versions(statement)))


def share(statement: Statement, name: str) -> str:
    """Return in how many of its cells a name has what the statement says."""
    return " / ".join(dict.fromkeys(version["shares"][name] for version in versions(statement)))


def each(statement: Statement, shares: bool = False) -> str:
    """Return every name with its numbers, and with the share of its cells."""
    parts = []
    for name in statement.names:
        numbers = intervals(statement.numbers_of(name))
        cells = f"{share(statement, name)} cells, " if shares else ""
        parts.append(f"`{name}` ({cells}{numbers})" if numbers or cells else f"`{name}`")
    return ", ".join(parts)


def few(statement: Statement) -> str:
    """Return the words before a finding about recipes that too few trainings carry."""
    n_seeds = statement.about["n_seeds"]
    if n_seeds == 1:
        return "Of this one training alone, not of its recipe: "
    return f"Not a claim about recipes, for which {n_seeds} trainings are too few: " if statement.about["few"] else ""


def alone(statement: Statement) -> str:
    """Return that the numbers are of one training, where they are."""
    return "Of one training: " if {one.n_seeds for one in statement.evidence} == {1} else ""


def source(statement: Statement) -> str:
    """Return the tables and rows of a statement's numbers: what the rows share once, then how they differ, in a short line."""
    tables: dict[str, list[Evidence]] = {}
    for one in statement.evidence:
        if one.table:
            tables.setdefault(one.table, []).append(one)
    found = "; ".join(f"{table}: {_rows(numbers, LONGEST_SOURCE - len(table) - 2)}" for table, numbers in tables.items())
    return found or statement.about.get("source", "")


def _rows(numbers: Sequence[Evidence], most: int) -> str:
    """Return the rows by column where they have some, shared values first; values that do not fit a line are counted."""
    if not all(one.where for one in numbers):
        return "; ".join(dict.fromkeys(one.row for one in numbers))
    columns = {name: list(dict.fromkeys(dict(one.where).get(name, ALL) for one in numbers)) for name, _ in numbers[0].where}
    alike: dict[str, list[str]] = {}
    for name, values in columns.items():
        if len(values) == 1:
            alike.setdefault(values[0], []).append(name)
    common = [f"{' and '.join(names)} {value}" for value, names in alike.items()]
    several = {name: values for name, values in columns.items() if len(values) > 1}
    told = {name: f"{_PLURAL.get(name, f'{name}s')} {'/'.join(values)}" for name, values in several.items()}
    n_rows = len({one.where for one in numbers})
    opening = f"{n_rows} rows of " if len(several) > 1 else ""
    for name in sorted(several, key=lambda name: -len(told[name])):
        line = f"{opening}{', '.join([*common, *told.values()])}"
        if len(line) <= most:
            return line
        told[name] = f"{len(several[name])} {_COUNTED.get(name, f'{name}s')}"
    return f"{opening}{', '.join([*common, *told.values()])}"
