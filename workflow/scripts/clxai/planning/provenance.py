"""Which local modules a script depends on, read from its imports: the workflow lists them as inputs of the script's rule."""

import ast
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parents[1]


def code_of(script: Path) -> list[Path]:
    """Return the script and every module of this library that it imports, directly or not, sorted."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _local_imports(file)
    return sorted(found)


@cache
def _local_imports(file: Path) -> list[Path]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return sorted(path for module in modules if module.split(".")[0] == "clxai" for path in _files_of(module))


def _files_of(module: str) -> list[Path]:
    """Return the module's file and the __init__ files above it; nothing for a name that is not a module."""
    parts = module.split(".")[1:]
    target = LIBRARY.joinpath(*parts)
    own = [path for path in (target.with_suffix(".py"), target / "__init__.py") if parts and path.is_file()]
    packages = [LIBRARY.joinpath(*parts[:depth], "__init__.py") for depth in range(len(parts))]
    return own + [path for path in packages if path.is_file()]
