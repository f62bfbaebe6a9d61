"""Which files of this library a job depends on: those that its script imports, and the members that its study uses."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from clxai.registry import LIBRARY, file_of, is_own, module_of

# Modules that decide how a job runs and what it says, never what it writes: an edit reruns nothing. A test holds this, by
# comparing the bytes of results with and without them.
SILENT = ("errors", "runtime/identity", "runtime/jobs", "runtime/leases", "runtime/logs")


@cache
def code_of(script: Path, *members: tuple[str, str]) -> tuple[Path, ...]:
    """Return a script, the members (family, name) and every module of this library that one of them imports, sorted.

    Silent modules are left out. Imports inside functions and relative ones count; what is imported by a computed name does not:
    members are given by name.
    """
    files = _imported_by(script).union(*(_imported_by(file_of(family, name)) for family, name in members))
    inside = (file for file in files if file == script or file.is_relative_to(LIBRARY))
    return tuple(sorted(file for file in inside if not is_silent(file)))


def own_files(*members: tuple[str, str]) -> tuple[Path, ...]:
    """Return the user's files that declare some of these members, and those beside them that they import, sorted."""
    files = [_imported_by(file_of(family, name)) for family, name in members if is_own(name)]
    return tuple(sorted(file for file in frozenset().union(*files) if not file.is_relative_to(LIBRARY)))


@cache
def assets_of(scripts: Path) -> tuple[Path, ...]:
    """Return the files of the explorer's page that are no Python, sorted."""
    folder = scripts / LIBRARY.name / "explorer" / "assets"
    return tuple(sorted(file for file in folder.rglob("*") if file.is_file()))


def edited(before: Mapping[Path, str], now: Mapping[Path, str]) -> list[Path]:
    """Return the files whose digest differs between two looks at the code, sorted; silent modules are left out."""
    files = sorted(file for file in {*before, *now} if before.get(file) != now.get(file))
    return [file for file in files if not is_silent(file)]


def is_silent(file: Path) -> bool:
    """Say whether a file, of this checkout or of another, is a module that changes no result."""
    return file.as_posix().endswith(tuple(f"/{LIBRARY.name}/{name}.py" for name in SILENT))


@cache
def _imported_by(file: Path) -> frozenset[Path]:
    """Return a script or module, and every file of this library that it imports, directly or not."""
    finder = _finder(LIBRARY) if file.is_relative_to(LIBRARY.parent) else _Finder(LIBRARY, file.absolute().parent)
    waiting, found = [finder.start(file)], {}
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = Path(finder.modules[name].__file__)
            waiting += finder.imports[name]
    return frozenset(found.values())


class _Finder(ModuleFinder):
    """Reads each module once for all scripts, and keeps by name which others it imports itself."""

    def __init__(self, library: Path, *beside: Path) -> None:
        super().__init__(path=[str(folder) for folder in (library.parent, *beside)])
        self.imports: dict[str, set[str]] = defaultdict(set)
        self._importing: list[str | None] = []

    def start(self, file: Path) -> str:
        """Read a module of the library, or a script, and return the name under which it is known."""
        if file.is_relative_to(LIBRARY):
            self.import_hook(module_of(file))
            return module_of(file)
        for known in (self.modules, self.imports):  # of the script before
            known.pop("__main__", None)
        self.run_script(str(file))
        return "__main__"

    def import_hook(self, name: str, caller: Any = None, fromlist: Any = None, level: int = -1) -> Any:
        """Follow one import statement of the module `caller`."""
        self._importing.append(caller and caller.__name__)
        try:
            return super().import_hook(name, caller, fromlist, level)
        finally:
            self._importing.pop()

    def import_module(self, partname: str, fqname: str, parent: Any) -> Any:
        """Find a module, a package above it included, for the statement that is being followed."""
        module = super().import_module(partname, fqname, parent)
        if module is not None and module.__file__ and self._importing[-1] is not None:  # not what is built into Python
            self.imports[self._importing[-1]].add(fqname)
        return module


@cache
def _finder(library: Path) -> _Finder:
    return _Finder(library)
