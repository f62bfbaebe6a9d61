"""Degraded maps: a known order of quality, for tests of instruments [F-Fidelity, Zheng et al. 2025]."""

from collections.abc import Mapping
from typing import Any

from clxai.attribution.base import Explanation, Problem, method
from clxai.keys import key_of
from clxai.randomness import keyed_uniform


@method(
    "degraded",
    families=("control",),
    signed=True,
    seeding="keyed",
    reduction="none",
    borrows="maps",
    options={"of": "integrated_gradients", "share": 0.0},
    at_most={"share": 1},
)
def degraded(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The map with the values of a random share of its pixels permuted among these: 0 the map itself, 1 all permuted.

    Drawn by seed and image. The pixels of a smaller share are among those of a larger one.
    """
    maps = problem.pool.of(problem.index)
    values = maps.flatten(1)
    which, where = (
        keyed_uniform(key_of(f"degraded {part}", problem.seed), problem.index, values.shape[1]) for part in ("pixels", "order")
    )
    chosen = which.argsort(dim=1)[:, : round(options["share"] * values.shape[1])]
    permuted = chosen.gather(1, where.gather(1, chosen).argsort(dim=1))
    return Explanation(values.scatter(1, chosen, values.gather(1, permuted)).view_as(maps)[:, None])
