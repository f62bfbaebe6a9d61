"""Optional packages: what a member needs beyond what is installed with the library."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from clxai.errors import ClxaiError


def check_package(name: str, semantics: Mapping[str, Any]) -> None:
    """Raise ClxaiError, with the line that installs it, if a method needs a package that is not there."""
    package = semantics["package"]
    if package is not None and find_spec(package) is None:
        raise ClxaiError(f"method {name!r} needs the package {package}: pip install 'clxai[{package}]'")
