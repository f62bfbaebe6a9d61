"""Expected gradients: integrated gradients from training images instead of one baseline, by one point of each path.

All randomness is keyed by seed and image. One place is drawn from each of as many strata of the path as there are samples, and
the references take turns, in an order of the image's own, so that the places of each reference are as far apart as can be.
"""

from collections.abc import Mapping
from typing import Any

import torch
from captum import attr
from jaxtyping import Float, Int
from torch import Tensor

from clxai.attribution.base import REDUCTIONS, Explanation, Problem, method
from clxai.attribution.completeness import completeness_error, values_of
from clxai.keys import key_of
from clxai.randomness import keyed_uniform
from clxai.runtime.chunks import halving, in_chunks
from clxai.runtime.memory import at_once

_NAME = "gradient_shap"


@method(
    "gradient_shap",
    families=("gradient", "shapley"),
    signed=True,
    seeding="keyed",
    complete="expectation",
    baseline_cardinality="set",
    reduction="sum",
    extras={
        "convergence_delta": {"axes": ("image",), "unit": "nat"},
        "completeness_error": {"axes": ("image",), "unit": "1"},
        "sampling_error": {"axes": ("image",), "unit": "nat"},
    },
    options={"samples": 128, "references": 32},
    at_most={"references": "training_images"},
    at_least={"samples": 32, "references": 2},
)
def gradient_shap(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Mean of (x - b) * dm/dx(b + a (x - b)) over training images b and a in [0, 1] [Erion et al. 2021].

    In expectation the map adds up to m(x) less the mean of m(b) over the references. `convergence_delta` is what the sum has
    more than that, `sampling_error` the standard error of the sum were all draws independent: too large, since they are spread
    evenly. Neighbours of heads that search stay those of x.
    """
    samples, inputs = options["samples"], problem.inputs.detach()
    place, reference = _draws(problem, samples)
    explainer = attr.Saliency(problem.log_odds)

    def contributions(sample: Tensor, rows: Tensor) -> Tensor:
        step = inputs[rows] - problem.baseline[reference[rows, sample]]
        points = inputs[rows] - (1 - place[rows, sample, None, None, None]).to(inputs) * step
        return step * explainer.attribute(points.requires_grad_(True), abs=False, additional_forward_args=(rows,)).detach()

    maps, totals = _summed(contributions, samples, problem)
    expected = values_of(problem, inputs, _NAME) - _value_of_references(problem)
    delta = maps.sum(dim=(1, 2, 3)) - expected
    extras = {
        "convergence_delta": delta,
        "completeness_error": completeness_error(delta, expected, REDUCTIONS["sum"](maps)),
        "sampling_error": totals.std(dim=0) / samples**0.5,
    }
    return Explanation(maps, extras)


def _draws(problem: Problem, samples: int) -> tuple[Float[Tensor, "image sample"], Int[Tensor, "image sample"]]:
    """Return for each image and sample a place on the path, one per stratum, and a reference; each is used equally often."""
    n_references = len(problem.baseline)

    def numbers(what: str, size: int) -> Tensor:
        return keyed_uniform(key_of(_NAME, what, problem.seed), problem.index, size)

    strata = torch.arange(samples, device=problem.index.device)
    place = (strata + numbers("place", samples)) / samples
    order = numbers("reference", n_references).argsort(dim=1)
    return place, order[:, strata % n_references]  # each reference at places as far apart as can be


def _summed(contributions: Any, samples: int, problem: Problem) -> tuple[Tensor, Tensor]:
    """Return the mean over samples [image, channel, y, x], and the sums over pixels [sample, image]; few copies at a time."""
    n_images = len(problem.images)
    copies = max(at_once("copies", problem.images.shape), n_images)
    total, sums = torch.zeros_like(problem.images), []

    def block(some: Tensor, most: int) -> Tensor:
        parts = torch.arange(len(some) * n_images, device=some.device).split(most)
        return torch.cat([contributions(some[part // n_images], part % n_images) for part in parts])

    for some in torch.arange(samples, device=problem.index.device).split(max(1, copies // n_images)):
        part, copies = halving(lambda most, some=some: block(some, most), copies, _NAME)
        part = part.unflatten(0, (len(some), n_images))
        total += part.sum(dim=0)
        sums.append(part.sum(dim=(2, 3, 4)))
    return total / samples, torch.cat(sums)


@torch.no_grad()
def _value_of_references(problem: Problem) -> Float[Tensor, " image"]:
    """Return the mean of m over all references, for each image's class and, where a head searches, neighbours."""
    size, n_references = at_once("embedded", problem.images.shape), len(problem.baseline)
    places = torch.arange(n_references, device=problem.index.device)
    embeddings = in_chunks(lambda some: problem.encoder.backbone(problem.baseline[some]), places, size, _NAME)
    points = problem.head.points(torch.cat(embeddings))
    pairs = torch.arange(len(problem.images) * n_references, device=problem.index.device)

    def scored(some: Tensor) -> Tensor:
        return problem.point_log_odds(points[some % n_references], some // n_references)

    return torch.cat(in_chunks(scored, pairs, size, _NAME)).unflatten(0, (-1, n_references)).mean(dim=1)
