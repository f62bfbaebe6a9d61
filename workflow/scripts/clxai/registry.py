"""Open families (losses, attribution methods, heads, data sources): one decorated definition is one entry.

An entry declares its semantics as literal keywords of the decorator. `declared` reads them from the source, so that the
config can be checked, and Snakemake can plan, without importing torch.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError, unknown_name


@dataclass(frozen=True)
class Entry:
    """A registered definition with its declared semantics."""

    name: str
    build: Callable[..., Any]
    semantics: Mapping[str, Any] = field(default_factory=dict)


class Registry(Mapping[str, Entry]):
    """Entries by name. A duplicate is refused; an unknown name is answered with the nearest known one."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, **semantics: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return the decorator that adds a function or class under `name`."""

        def add(build: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries:
                raise ClxaiError(f"{self.what} {name!r} is registered twice")
            self._entries[name] = Entry(name, build, semantics)
            return build

        return add

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise unknown_name(self.what, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True)
class Declaration:
    """What the source says of an entry: its name, literal semantics and the file that defines it."""

    name: str
    semantics: Mapping[str, Any]
    file: Path


def declared(source: Path, decorator: str) -> dict[str, Declaration]:
    """Read the entries that `source` (a module or a folder of modules) declares with `@decorator(name, key=literal)`.

    Raises ClxaiError if a name is declared twice or a keyword is not a literal.
    """
    found: dict[str, Declaration] = {}
    for file in sorted(source.glob("*.py")) if source.is_dir() else [source]:
        for call in _decorator_calls(ast.parse(file.read_text()), decorator):
            try:
                name = ast.literal_eval(call.args[0])
                semantics = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
            except ValueError as error:
                raise ClxaiError(f"{file}, line {call.lineno}: the keywords of @{decorator} must be literals") from error
            if name in found:
                raise ClxaiError(f"{file}, line {call.lineno}: {name!r} is declared twice")
            found[name] = Declaration(name, semantics, file)
    return found


def _decorator_calls(tree: ast.AST, decorator: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and getattr(call.func, "id", None) == decorator:
                    yield call
