"""Which files of this library a job depends on: those that its script imports, and the members that its study uses."""

from collections.abc import Mapping
from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path

from clxai.registry import LIBRARY, files_of, module_of

# Modules that decide how a job runs and what it says, never what it writes: an edit reruns nothing. A test holds this, by
# comparing the bytes of results with and without them.
SILENT = ("errors", "runtime/identity", "runtime/jobs", "runtime/leases", "runtime/logs")


@cache
def code_of(script: Path, *members: tuple[str, str]) -> tuple[Path, ...]:
    """Return a script, the members (family, name) and every module of this library that one of them imports, sorted.

    Silent modules are left out. Imports inside functions and relative ones count; what is imported by a computed name does not:
    members are given by name.
    """
    files = _imported_by(script).union(*(_imported_by(files_of(family)[name]) for family, name in members))
    return tuple(sorted(file for file in files if not is_silent(file)))


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
    finder = ModuleFinder(path=[str(LIBRARY.parent)])
    if file.is_relative_to(LIBRARY):
        finder.import_hook(module_of(file))
    else:
        finder.run_script(str(file))
    return frozenset(Path(module.__file__) for module in finder.modules.values() if module.__file__)
