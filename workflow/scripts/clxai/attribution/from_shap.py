"""SHAP's own explainers, for comparison with what others publish: an optional backend, one image at a time.

SHAP draws from NumPy's global generator, and `GradientExplainer` seeds it anew. Here it is seeded by seed and image, so that a
map does not depend on what is explained before it, and is then put back. References are those of the record.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clxai.attribution.base import METHODS, REDUCTIONS, Explanation, Problem, method
from clxai.attribution.completeness import completeness_error, values_of
from clxai.keys import key_of
from clxai.packages import check_package
from clxai.runtime.memory import at_once


@method(
    "shap_gradient",
    families=("gradient", "shapley"),
    signed=True,
    seeding="keyed",
    package="shap",
    baseline_cardinality="set",
    reduction="sum",
    options={"samples": 200, "references": 32},
    at_most={"references": "training_images"},
    at_least={"references": 2},
)
def shap_gradient(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """SHAP's `GradientExplainer`: expected gradients with independent draws [Lundberg, Lee 2017]; compare `gradient_shap`."""
    explainer_of = _shap("shap_gradient").GradientExplainer
    size = at_once("copies", problem.images.shape)

    def explained(row: int, inputs: Tensor) -> np.ndarray:
        explainer = explainer_of(_OfImage(problem, row), problem.baseline, batch_size=size)
        seed = _seed_of(problem, row, problem.seed)
        return explainer.shap_values(inputs, nsamples=options["samples"], rseed=seed)[0, ..., 0]  # the class is last

    return Explanation(_each(problem, explained, problem.seed))


@method(
    "shap_partition",
    families=("shapley", "perturbation"),
    signed=True,
    package="shap",
    complete="exact",
    baseline="mean",
    reduction="sum",
    extras={"completeness_error": {"axes": ("image",), "unit": "1"}},
    options={"max_evals": 500},
)
def shap_partition(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """SHAP's `PartitionExplainer`: Owen values of rectangles that halve the image, down to pixels as far as `max_evals` reach.

    A rectangle that is not divided shares its value alike among its pixels. They add up to m(x) - m(b). Chance decides nothing
    but which of two rectangles of equal weight is divided first, alike for all seeds.
    """
    shap = _shap("shap_partition")
    ends = torch.stack([values_of(problem, images, "shap_partition") for images in (problem.inputs.detach(), problem.baseline)])

    def explained(row: int, inputs: Tensor) -> np.ndarray:
        model, shown = _OfImage(problem, row), inputs.movedim(1, -1).cpu().numpy()  # SHAP's images have channels last
        explainer = shap.PartitionExplainer(
            lambda masked: model.scores(torch.from_numpy(masked).movedim(-1, 1)),
            shap.maskers.Image(problem.baseline[row].movedim(0, -1).cpu().numpy()),
        )
        found = explainer(shown, max_evals=options["max_evals"], batch_size=at_once("embedded", inputs.shape), silent=True)
        return np.moveaxis(found.values[0, ..., 0], -1, 0)

    maps = _each(problem, explained, 0)
    difference = ends[0] - ends[1]
    error = completeness_error(maps.sum(dim=(1, 2, 3)) - difference, difference, REDUCTIONS["sum"](maps))
    return Explanation(maps, {"completeness_error": error})


def _shap(name: str) -> ModuleType:
    """Return the package. Raises ClxaiError, with the line that installs it, if it is not there."""
    check_package(name, METHODS[name].semantics)
    return importlib.import_module("shap")


class _OfImage(nn.Module):
    """The log-odds of copies of one image [copy, 1], as SHAP wants a model."""

    def __init__(self, problem: Problem, row: int) -> None:
        super().__init__()
        self.problem, self.row = problem, row

    def forward(self, inputs: Tensor) -> Tensor:
        """Return one log-odds a copy."""
        return self.problem.log_odds(inputs, self.problem.rows[[self.row]].expand(len(inputs)))[:, None]

    @torch.no_grad()
    def scores(self, inputs: Tensor) -> np.ndarray:
        """Return the same as an array, of inputs in an array."""
        return self(inputs.to(self.problem.images)).cpu().numpy()


def _each(problem: Problem, explained: Callable[[int, Tensor], np.ndarray], seed: int) -> Tensor:
    """Return the maps of all images, one after the other: SHAP explains them in a loop as well."""
    maps = []
    for row, inputs in enumerate(problem.inputs.detach().split(1)):
        with _numpy_seeded(_seed_of(problem, row, seed)):
            maps.append(explained(row, inputs))
    return torch.from_numpy(np.stack(maps)).to(problem.images)


def _seed_of(problem: Problem, row: int, seed: int) -> int:
    """Return the seed of an image, as NumPy's old generator takes it."""
    return key_of("shap", seed, int(problem.index[row])) % 2**32


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, from which SHAP draws, and put it back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
