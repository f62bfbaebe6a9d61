"""Maps that a user brings in files."""

from collections.abc import Mapping
from typing import Any

from clxai.attribution.base import Explanation, Problem, method


@method(
    "file",
    families=("given",),
    signed=True,
    reduction="none",
    borrows="file",
    options={"path": None, "order": None, "signed": None, "channels": None, "ids": None, "shared": False},
)
def file(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The map of the image in a user's file, whatever made it; higher is more important."""
    return Explanation(problem.pool.of(problem.index)[:, None])
