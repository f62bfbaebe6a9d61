"""Open families: one decorated definition in one file of a family's folder is one member.

The `base` module of a family declares, as literals, which keywords its members give, each by a JSON schema; one with a `default`
may be left out:

    LOSSES = Family("losses", keywords={"top": {"enum": ["classifier", "projection"]}, "views": {"default": 1}})
    loss = LOSSES.register

    @loss("supcon", top="projection", views=2, options={"temperature": 0.1})
    def supcon(outputs, labels, temperature): ...

`declared` reads families from their source, so that the config can be checked and Snakemake can plan without importing torch;
hence all keywords must be literals; a base module may also name constants of `clxai.vocabularies`. `load` imports the one module
that defines a member, and no other.

A member may also be a user's own, in any file outside the library: `path/to/file.py:name` is the member that the file declares as
`name`, with the same decorator and the same keywords; the path is as the working directory sees it.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from clxai import vocabularies
from clxai.errors import ClxaiError, unknown_name

LIBRARY = Path(__file__).parent
_FILE = ".py"  # ends the path of a user's file, and the name of the module that is made of it


class Place(NamedTuple):
    """Where a family lives: its folder below the library, its decorator, and what one member is called in messages."""

    folder: str
    decorator: str
    what: str


PLACES: Mapping[str, Place] = {
    "sources": Place("data/sources", "source", "data source"),
    "networks": Place("networks", "network", "network"),
    "losses": Place("losses", "loss", "loss"),
    "heads": Place("heads", "head", "head"),
    "methods": Place("attribution", "method", "attribution method"),
    "analyses": Place("analyses", "analysis", "analysis"),
    "fills": Place("fills", "fill", "fill"),
    "units": Place("units", "units", "kind of units"),
    "metrics": Place("measures/metrics", "metric", "metric"),
    "trust": Place("measures/trust", "trust", "trust measure"),
    "figures": Place("figures", "figure", "figure"),
}
# What is known of a data set, by which options may be bounded: its training images, and the smaller side of an image in pixels.
DATA_BOUNDS = ("training_images", "image_size")
# Of the members of every family. options: allowed keys with their defaults. at_most: upper bounds of options, each a number, the
# name of another option, or one of DATA_BOUNDS. at_least: lower bounds of options, instead of those that their defaults imply.
# default_share: of options that the data bound, the largest share of that bound that a default takes; where not named, all of it.
COMMON: Mapping[str, Mapping[str, Any]] = {
    "options": {"type": "object", "default": {}},
    "at_most": {"type": "object", "additionalProperties": {"type": ["number", "string"]}, "default": {}},
    "at_least": {"type": "object", "additionalProperties": {"type": "number"}, "default": {}},
    "default_share": {
        "type": "object",
        "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "default": {},
    },
}


@dataclass(frozen=True)
class Entry:
    """A member: its name, the function or class that was decorated, and its keywords with defaults filled in."""

    name: str
    definition: Callable[..., Any]
    semantics: Mapping[str, Any] = field(default_factory=dict)

    def options(self, given: Mapping[str, Any], **known: int) -> dict[str, Any]:
        """Return all options: the given ones, and the defaults of the others, lowered to what the data allow.

        That is the bound known of the data, or the share of it that `default_share` names, rounded down, at least 1. A default
        that is lowered is said in the log. Raises ClxaiError if a given option is above a bound.
        """
        chosen = {**self.semantics["options"], **given}
        for option, bound in self.semantics["at_most"].items():
            if bound not in known:
                continue
            share = 1 if option in given else self.semantics["default_share"].get(option, 1)
            most, words = max(1, int(share * known[bound])), f"the {bound.replace('_', ' ')}, {known[bound]}"
            if chosen[option] <= most:
                continue
            if option in given:
                raise ClxaiError(f"{self.name}.{option} must be at most {words}. Got {given[option]}")
            part = "" if share == 1 else f"{share:g} of "
            print(f"{self.name}: the default {option} of {chosen[option]} is above {part}{words}; {most} is taken", flush=True)
            chosen[option] = most
        return chosen


class Family(Mapping[str, Entry]):
    """The members of an open family by name: those of the library, imported when they are asked for, and those added since.

    A duplicate is refused; an unknown name is answered with the nearest one.
    """

    def __init__(self, family: str, keywords: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.family, self.what = family, PLACES[family].what
        self.keywords = {**COMMON, **(keywords or {})}
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, **semantics: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return the decorator that adds a function or class under `name`. Raises ClxaiError on a wrong keyword."""
        filled = fill_keywords(semantics, self.keywords, f"{self.what} {name!r}")

        def add(definition: Callable[..., Any]) -> Callable[..., Any]:
            module = definition.__module__ or ""  # none of code that is executed from a text
            full = f"{module}:{name}" if module.endswith(_FILE) else name
            if full in self._entries:
                raise ClxaiError(f"{self.what} {full!r} is registered twice")
            self._entries[full] = Entry(full, definition, filled)
            return definition

        return add

    def add(self, entry: Entry) -> None:
        """Add a member that no file declares, for as long as this process lives."""
        self._entries[entry.name] = entry

    def __getitem__(self, name: str) -> Entry:
        if name not in self:
            raise unknown_name(self.what, name, self)
        if name not in self._entries:
            file = file_of(self.family, name)
            importlib.import_module(module_of(file)) if file.is_relative_to(LIBRARY) else _run_file(name)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in files_of(self.family) or (isinstance(name, str) and is_own(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*files_of(self.family), *self._entries]))

    def __len__(self) -> int:
        return len(list(iter(self)))


def members_of(family: str) -> Family:
    """Return a family by its name, after importing its base module; its members are imported when they are asked for."""
    base = importlib.import_module(module_of(LIBRARY / PLACES[family].folder / "base.py"))
    (found,) = (value for value in vars(base).values() if isinstance(value, Family) and value.family == family)
    return found


def load(family: str, name: str) -> Entry:
    """Return a member of a family, after importing the one module that defines it if need be.

    Raises ClxaiError, with the nearest name, if there is no such member.
    """
    return members_of(family)[name]


def module_of(file: Path) -> str:
    """Return the dotted name of a module of this library."""
    return ".".join(("clxai", *file.relative_to(LIBRARY).with_suffix("").parts))


def is_own(name: str) -> bool:
    """Say whether a name is that of a member in a user's own file: `path/to/file.py:name`."""
    return name.rpartition(":")[0].endswith(_FILE)


def file_of(family: str, name: str) -> Path:
    """Return the file that declares a member. Raises ClxaiError, with the nearest name, if there is none."""
    return declaration_of(family, name).file


def declaration_of(family: str, name: str) -> "Declaration":
    """Return what the source says of a member, of the library or in a user's own file.

    Raises ClxaiError, with the nearest name, if there is no such member, if the file is missing or is no Python.
    """
    if not is_own(name):
        known = declared(family)
        if name not in known:
            raise unknown_name(PLACES[family].what, name, known)
        return known[name]
    path, _, member = name.rpartition(":")
    file, place = Path(path), PLACES[family]
    if not file.is_file():
        raise ClxaiError(f"{place.what} {name!r}: {path}: no such file")
    status = file.stat()
    known = _declared_in(family, file, status.st_mtime_ns, status.st_size)
    if member not in known:
        raise ClxaiError(
            f"{path}: {unknown_name(place.what, member, known)}{'' if known else 'none'}. "
            f"A function of that name is declared by @{place.decorator}({member!r}, ...)"
        )
    return known[member]


def _run_file(name: str) -> None:
    """Run the user's file that declares a member; its own folder is on the path meanwhile, for what lies beside it.

    Raises ClxaiError, naming the file, if it cannot be run.
    """
    path = name.rpartition(":")[0]
    specification = importlib.util.spec_from_file_location(path, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path] = module
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(path)
        raise ClxaiError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)


@dataclass(frozen=True)
class Declaration:
    """What the source says of a member: its name, its keywords with defaults filled in, its first line of text, its file."""

    name: str
    semantics: Mapping[str, Any]
    text: str
    file: Path


@cache
def files_of(family: str) -> Mapping[str, Path]:
    """Return the file of each member that the library defines. Raises ClxaiError if a name is declared twice or no literal."""
    return {name: file for name, (file, _, _) in _found(family).items()}


@cache
def declared(family: str) -> Mapping[str, Declaration]:
    """Return the members that the library defines, read from the source, sorted by file and line.

    Raises ClxaiError, naming file and line, on a keyword that is unknown, missing, of a wrong type or not a literal.
    """
    return {name: _declaration(family, name, *place) for name, place in _found(family).items()}


@cache
def _declared_in(family: str, file: Path, modified: int, size: int) -> Mapping[str, Declaration]:
    """Return the members that a user's file declares, as it was at that time."""
    try:
        return {name: _declaration(family, name, *place) for name, place in _found_in(family, [file]).items()}
    except SyntaxError as error:
        raise ClxaiError(f"{file}, line {error.lineno}: not Python ({error.msg})") from error


def _declaration(family: str, name: str, file: Path, definition: ast.AST, call: ast.Call) -> Declaration:
    keywords, where = keywords_of(family), f"{file}, line {call.lineno}: @{PLACES[family].decorator}({name!r})"
    given = {word.arg or "**": _literal(word.value, where) for word in call.keywords}
    semantics = checked_keywords(given, keywords, where)
    text = (ast.get_docstring(definition) or "").partition("\n\n")[0].replace("\n", " ").strip()
    return Declaration(name, semantics, text, file)


@cache
def keywords_of(family: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the keywords of a family's members, as its base module declares them, by JSON schema."""
    base = LIBRARY / PLACES[family].folder / "base.py"
    for call in (node for node in ast.walk(ast.parse(base.read_text())) if isinstance(node, ast.Call)):
        if getattr(call.func, "id", None) == "Family":
            where = f"{base}, line {call.lineno}"
            own = [_literal(_Words().visit(word.value), where) for word in call.keywords if word.arg == "keywords"]
            return {**COMMON, **(own[0] if own else {})}
    raise ClxaiError(f"{base} declares no family: it lacks Family({family!r}, keywords={{...}})")


class _Words(ast.NodeTransformer):
    """Puts the values of the vocabularies where a source names them."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Return the constant of that name as a literal; a name that is none stays, and is refused."""
        found = vars(vocabularies).get(node.id)
        return node if found is None else ast.parse(repr(found), mode="eval").body


def fill_keywords(given: Mapping[str, Any], keywords: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    """Return the keywords with defaults filled in. Raises ClxaiError on one that is unknown or missing."""
    for name in given:
        if name not in keywords:
            raise ClxaiError(f"{where}: {unknown_name('keyword', name, keywords)}")
    missing = [name for name, schema in keywords.items() if "default" not in schema and name not in given]
    if missing:
        raise ClxaiError(f"{where} lacks the keyword {missing[0]!r}: {_in_words(keywords[missing[0]])}")
    return {name: given.get(name, schema.get("default")) for name, schema in keywords.items()}


def checked_keywords(given: Mapping[str, Any], keywords: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    """Return the same after a check of every value. Raises ClxaiError also on a wrong type, bound or word."""
    semantics = fill_keywords(given, keywords, where)
    _check_types(semantics, keywords, where)
    _check_bounds(semantics, where)
    return semantics


def _in_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    kinds = schema.get("type", "any value")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


@cache
def _found(family: str) -> dict[str, tuple[Path, ast.AST, ast.Call]]:
    """Return file, definition and decorator call of each member of the library."""
    return _found_in(family, sorted((LIBRARY / PLACES[family].folder).glob("*.py")))


def _found_in(family: str, files: Iterable[Path]) -> dict[str, tuple[Path, ast.AST, ast.Call]]:
    """Return the same of the members that some files declare, reached by its name or through its module."""
    _, decorator, what = PLACES[family]
    found: dict[str, tuple[Path, ast.AST, ast.Call]] = {}
    for file in files:
        text = file.read_text()
        if f"@{decorator}(" not in text and f".{decorator}(" not in text:
            continue
        for definition, call in _decorator_calls(ast.parse(text), decorator):
            where = f"{file}, line {call.lineno}"
            if not call.args:
                raise ClxaiError(f"{where}: @{decorator} needs the {what}'s name first")
            name = _literal(call.args[0], f"{where}: @{decorator}")
            if name in found:
                raise ClxaiError(f"{where}: {name!r} is declared twice")
            found[name] = (file, definition, call)
    return found


def _decorator_calls(tree: ast.AST, decorator: str) -> Iterator[tuple[ast.AST, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and decorator in (getattr(call.func, "id", None), getattr(call.func, "attr", None)):
                    yield node, call


def _literal(node: ast.AST, where: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ClxaiError(f"{where}: keywords must be literals") from error


def _check_bounds(semantics: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError if a bound is on what is no option, or by a name that is neither an option nor known of a data set."""
    options = semantics["options"]
    for keyword, allowed in (("at_least", options), ("default_share", semantics["at_most"])):
        for option in semantics[keyword]:
            if option not in allowed:
                raise ClxaiError(f"{where}: {keyword}: {unknown_name('option', option, allowed)}")
    for option, bound in semantics["at_most"].items():
        if option not in options:
            raise ClxaiError(f"{where}: at_most: {unknown_name('option', option, options)}")
        if isinstance(bound, str) and bound not in (*options, *DATA_BOUNDS):
            raise ClxaiError(f"{where}: at_most: {unknown_name('bound', bound, [*options, *DATA_BOUNDS])}")


def _check_types(semantics: Mapping[str, Any], keywords: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Raise ClxaiError at the first keyword whose value its schema refuses."""
    import json

    from jsonschema import Draft202012Validator

    plain = json.loads(json.dumps(semantics))  # tuples are arrays
    for name, schema in keywords.items():
        error = next(Draft202012Validator(schema).iter_errors(plain[name]), None)
        if error is not None and str(error.instance) in schema.get("reserved", {}):
            raise ClxaiError(f"{where}: {name} {error.instance!r} is refused: {schema['reserved'][error.instance]}")
        if error is not None and error.validator == "enum":
            raise ClxaiError(f"{where}: {unknown_name(name, error.instance, map(str, error.validator_value))}")
        if error is not None:
            raise ClxaiError(f"{where}: keyword {name!r}: {error.message}")
