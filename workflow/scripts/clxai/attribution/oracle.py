"""The oracle: where the evidence is, as a map."""

from collections.abc import Mapping
from typing import Any

from clxai.attribution.base import Explanation, Problem, method
from clxai.errors import ClxaiError


@method("oracle", families=("control",), per_head=False, reduction="none", needs_evidence=True, options={"part": 0})
def oracle(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """1 where the image has evidence of its class, or one part of it (0: all parts), and 0 elsewhere.

    An instrument that ranks an explanation above this one, on a network that classifies well, measures something else than where
    the evidence is. Raises ClxaiError on images without evidence, or without that part.
    """
    evidence, part = problem.evidence, options["part"]
    if evidence is None:
        raise ClxaiError("method 'oracle' needs images whose evidence is known: leave it out of study.methods")
    inside = evidence == part if part else evidence > 0
    if not inside.any():
        raise ClxaiError(f"methods.oracle.part: none of {len(inside)} images has evidence of part {part}")
    return Explanation(inside[:, None].to(problem.images.dtype))
