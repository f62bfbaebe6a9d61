"""A map that spells its class: a detector of instruments that reward the encoding of a prediction [Puli et al. 2024]."""

from collections.abc import Mapping
from typing import Any

from clxai.attribution.base import Explanation, Problem, method
from clxai.keys import key_of
from clxai.randomness import keyed_uniform


@method("class_code", families=("control",), blind=True, seeding="keyed", reduction="none")
def class_code(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Uniform noise per pixel, keyed by seed and predicted class: the order of removal tells the class and nothing else."""
    pixels = problem.images[:, :1]
    values = keyed_uniform(key_of("class code", problem.seed), problem.target, pixels[0].numel())
    return Explanation(values.reshape(pixels.shape).to(pixels.dtype))
