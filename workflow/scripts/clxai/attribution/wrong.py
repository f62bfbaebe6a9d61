"""Controls that explain something else: the map of another image, and of another class."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from clxai.attribution.base import Explanation, Problem, method
from clxai.keys import key_of
from clxai.randomness import keyed_uniform


@method(
    "wrong_image",
    families=("control",),
    signed=True,
    seeding="keyed",
    reduction="none",
    borrows="maps",
    options={"of": "integrated_gradients"},
)
def wrong_image(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The map of another image of the sample, drawn by seed and image, of another predicted class where there is one."""
    pool = problem.pool
    draw = keyed_uniform(key_of("wrong image", problem.seed), problem.index, len(pool.index))
    draw += (problem.target[:, None] == pool.target).to(draw.dtype)  # after all of other classes
    draw[problem.index[:, None] == pool.index] = torch.inf
    return Explanation(pool.maps[draw.argmin(dim=1)][:, None])


@method(
    "wrong_class",
    families=("control",),
    signed=True,
    reduction="none",
    borrows="method",
    options={"of": "integrated_gradients"},
)
def wrong_class(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The method run for the class that scores second with the head instead of for its prediction."""
    with torch.no_grad():
        points = problem.head.points(problem.encoder.backbone(problem.inputs))
        scores = problem.frozen(points, problem.rows)
    second = scores.scatter(1, problem.target[:, None], -torch.inf).argmax(dim=1)
    return Explanation(problem.other(replace(problem, target=second))[:, None])
