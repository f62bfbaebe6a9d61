"""The amortised method: explainers that were trained on mask banks of other images say what units are worth, in one pass."""

from collections.abc import Mapping
from typing import Any

from clxai.attribution.base import Explanation, Problem, method
from clxai.errors import ClxaiError


@method(
    "amortised",
    families=("amortised", "shapley"),
    aligned_to="unit",
    signed=True,
    seeding="keyed",
    reduction="none",
    learns=True,
    extras={"spread": {"axes": ("image",), "unit": "nat"}},
    options={
        "units": None,
        "fill": None,
        "sample": "training",
        "validation": "validation",
        "teachers": [],
        "duplicates": 0.9,
        "faithful": 0.2,
        "explainers": 3,
        "least_squares": 1.0,
        "pattern": 0.0,
        "local": 0.0,
        "schedule": "fixed",
        "epochs": 100,
        "batch_size": 64,
        "masks": 64,
        "learning_rate": 0.001,
        "weight_decay": 0.01,
        "width": 64,
        "depth": 3,
    },
    at_most={"duplicates": 1, "faithful": 1},
    at_least={"least_squares": 0, "masks": 4, "weight_decay": 0, "faithful": 0},
)
def amortised(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """What a trained Transformer says each unit adds to m, the mean of explainers of several seeds [Jethani et al. 2022].

    `spread` is the root mean square over units of the standard deviation between these seeds, NaN of a single one.
    """
    if problem.explainers is None:
        raise ClxaiError("method 'amortised' asks trained explainers. Got none")
    told = problem.explainers(problem.images, problem.target)
    return Explanation(told.mean[:, None], {"spread": told.spread})
