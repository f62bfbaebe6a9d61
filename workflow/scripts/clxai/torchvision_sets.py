"""What torchvision's data sets are called and which arguments they take, read from its source: importing it takes seconds."""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError, unknown_name

# Sets whose download torchvision does not compare with a checksum.
UNCHECKED = ("FGVCAircraft", "Kinetics", "Kitti", "LFWPairs", "LFWPeople", "Middlebury2014Stereo")
_OURS = {"self", "root", "train", "download", "transform", "target_transform", "transforms", "loader"}


@cache
def set_names() -> tuple[str, ...]:
    """Return the public names of torchvision.datasets."""
    for node in ast.parse((_folder() / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return tuple(ast.literal_eval(node.value))
    raise ClxaiError("torchvision.datasets does not list its data sets")


def chooser(name: str) -> str | None:
    """Return the argument that chooses the train or the test part of a set: `train` or `split`; None if there is none."""
    accepted = parameters(name)
    return next((argument for argument in ("train", "split") if argument in accepted), None)


def check_arguments(name: str, given: Mapping[str, Any], download: bool, where: str) -> None:
    """Raise ClxaiError unless a set exists, has two parts, takes these arguments and has all that it needs, safely fetched."""
    if name not in set_names():
        raise ClxaiError(f"{where}.name: {unknown_name('torchvision data set', name, set_names())}")
    accepted, choice = parameters(name), chooser(name)
    if choice is None:
        raise ClxaiError(f"{where}.name: torchvision's {name} has no train and test split; use source npz or folder")
    free = {argument: needed for argument, needed in accepted.items() if argument not in _OURS | {choice} and argument[0] != "_"}
    for argument in given:
        if argument not in free:
            raise ClxaiError(f"{where}.arguments: {unknown_name(f'argument of {name}', argument, free)}")
    missing = [argument for argument, needed in free.items() if needed and argument not in given]
    if missing:
        raise ClxaiError(f"{where}.arguments: torchvision's {name} needs {', '.join(missing)}. Got {dict(given)}")
    if download and "download" not in accepted:
        raise ClxaiError(f"{where}.download: torchvision cannot fetch {name}; put it into `path` by hand")
    if download and name in UNCHECKED:
        raise ClxaiError(f"{where}.download: torchvision fetches {name} without a checksum; put it into `path` by hand")


@cache
def parameters(name: str) -> dict[str, bool]:
    """Return the arguments of a set's constructor, its base classes' included where it passes them on: is each one needed?"""
    definition = _definition(name)
    if definition is None:
        return {}
    own = next((node for node in definition.body if getattr(node, "name", None) == "__init__"), None)
    inherited: dict[str, bool] = {}
    if own is None or own.args.kwarg:
        for base in _names(definition.bases):
            inherited |= parameters(base)
    if own is None:
        return inherited
    listed = own.args.args[1:]
    without_default = len(listed) - len(own.args.defaults)
    found = {argument.arg: place < without_default for place, argument in enumerate(listed)}
    found |= {one.arg: value is None for one, value in zip(own.args.kwonlyargs, own.args.kw_defaults, strict=True)}
    return {**{argument: needed for argument, needed in inherited.items() if argument != "root"}, **found}


def _definition(name: str) -> ast.ClassDef | None:
    for file in sorted(_folder().glob("*.py")):
        text = file.read_text()
        if re.search(rf"^class {re.escape(name)}\b", text, flags=re.MULTILINE):
            return next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)
    return None


def _names(bases: Iterable[ast.expr]) -> list[str]:
    return [base.id for base in bases if isinstance(base, ast.Name)]


def _folder() -> Path:
    package = find_spec("torchvision")
    if package is None or package.origin is None:
        raise ClxaiError("torchvision is not installed in this environment")
    return Path(package.origin).parent / "datasets"
