"""Gradient methods, all through Captum, of the head's own log-odds with respect to the normalised input."""

from collections.abc import Mapping
from typing import Any

import torch
from captum import attr
from torch import Tensor, nn

from clxai.attribution.base import REDUCTIONS, Explanation, Problem, layer_of, method
from clxai.attribution.completeness import completeness_error, values_of
from clxai.keys import key_of
from clxai.randomness import keyed_normal
from clxai.runtime.chunks import halving, in_chunks
from clxai.runtime.memory import at_once


class ScoreModule(nn.Module):
    """The explained log-odds as a module, for methods that hook into one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.backbone, self.problem = problem.encoder.backbone, problem

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return one log-odds per row."""
        return self.problem.log_odds(inputs, rows)


@method("saliency", families=("gradient",), reduction="abs_sum")
def saliency(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """|dm/dx| [Simonyan et al. 2014]."""
    explainer = attr.Saliency(problem.log_odds)
    return Explanation(explainer.attribute(problem.inputs, abs=False, additional_forward_args=(problem.rows,)).detach())


@method("input_x_gradient", families=("gradient",), signed=True, reduction="sum")
def input_x_gradient(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """x * dm/dx [Shrikumar et al. 2016], x the normalised input."""
    explainer = attr.InputXGradient(problem.log_odds)
    return Explanation(explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,)).detach())


@method(
    "integrated_gradients",
    families=("gradient",),
    signed=True,
    complete="exact",
    baseline="mean",
    reduction="sum",
    extras={
        "convergence_delta": {"axes": ("image",), "unit": "nat"},
        "completeness_error": {"axes": ("image",), "unit": "1"},
        "n_steps": {"axes": ("image",), "unit": "count"},
    },
    options={"steps": 64, "most_steps": 1024, "tolerance": 0.01},
    at_most={"steps": "most_steps"},
)
def integrated_gradients(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """(x - b) * integral of dm/dx from b to x [Sundararajan et al. 2017, eq. 1], Gauss-Legendre.

    While the completeness error (see `completeness_error`) has a median above `tolerance` over the batch, the number of steps
    doubles for the images above it, up to `most_steps`. The error is returned and checked again over all images.
    """
    rows, steps = problem.rows, options["steps"]
    at_image, at_baseline = (values_of(problem, inputs, "integrated_gradients") for inputs in (problem.inputs, problem.baseline))
    difference = at_image - at_baseline
    maps, delta = _integrate(problem, rows, steps)
    error, n_steps = completeness_error(delta, difference, REDUCTIONS["sum"](maps)), torch.full_like(delta, steps)
    while _upper_median(error) > options["tolerance"] and 2 * steps <= options["most_steps"]:
        steps *= 2
        poor = rows[error > options["tolerance"]]
        maps[poor], delta[poor] = _integrate(problem, poor, steps)
        error, n_steps[poor] = completeness_error(delta, difference, REDUCTIONS["sum"](maps)), steps
    return Explanation(maps, {"convergence_delta": delta, "completeness_error": error, "n_steps": n_steps})


def _integrate(problem: Problem, rows: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the maps of some images and what their sums lack to completeness.

    Here and not by smaller batches the memory is respected: the median over the batch decides on the number of steps.
    """
    copies = max(at_once("copies", problem.images.shape), len(rows))
    return halving(lambda n: _integrate_by(problem, rows, steps, n), copies, "integrated_gradients")[0]


def _integrate_by(problem: Problem, rows: Tensor, steps: int, copies: int) -> tuple[Tensor, Tensor]:
    """Integrate with this many copies of images per pass."""
    explainer = attr.IntegratedGradients(problem.log_odds)
    parts = [
        explainer.attribute(
            problem.inputs[some],
            problem.baseline[some],
            additional_forward_args=(some,),
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=copies,
            return_convergence_delta=True,
        )
        for some in rows.split(copies)
    ]
    return torch.cat([maps for maps, _ in parts]).float().detach(), torch.cat([delta for _, delta in parts]).float().detach()


def _upper_median(values: Tensor) -> float:
    """Return the upper median: if it holds in every batch, more than half of all images hold."""
    return float(values.sort().values[len(values) // 2])


@method("smoothgrad", families=("gradient",), seeding="keyed", reduction="abs_sum", options={"samples": 25, "sigma": 0.15})
def smoothgrad(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Mean gradient over noisy copies [Smilkov et al. 2017, section 3], magnitude taken after the mean.

    sigma is a share of the range of normalised values of the image. The noise depends on seed, image and copy alone, so that it
    is the same for all heads of a model and for any batch.
    """
    return Explanation(_noisy_gradients(problem, options, "smoothgrad").mean(dim=0))


@method("smoothgrad_sq", families=("gradient",), seeding="keyed", reduction="sum", options={"samples": 25, "sigma": 0.15})
def smoothgrad_sq(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Mean squared gradient over noisy copies, those of `smoothgrad` [Hooker et al. 2019]."""
    return Explanation(_noisy_gradients(problem, options, "smoothgrad_sq").square().mean(dim=0))


def _noisy_gradients(problem: Problem, options: Mapping[str, Any], name: str) -> Tensor:
    """Return the gradient at noisy copies [sample, image, channel, y, x]; all methods that ask for it get the same copies."""
    inputs, n_images = problem.inputs.detach(), len(problem.inputs)
    spread = options["sigma"] * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3)))
    explainer, key = attr.Saliency(problem.log_odds), key_of("smoothgrad", problem.seed)

    def gradients(copies: Tensor) -> Tensor:
        sample, rows = copies // n_images, copies % n_images
        noise = keyed_normal(key, problem.index[rows] + (sample << 40), inputs[0].numel()).view_as(inputs[rows])
        noisy = inputs[rows] + spread[rows, None, None, None] * noise.to(inputs)
        return explainer.attribute(noisy.requires_grad_(True), abs=False, additional_forward_args=(rows,)).detach()

    copies = torch.arange(options["samples"] * n_images, device=inputs.device)
    parts = in_chunks(gradients, copies, max(at_once("copies", problem.images.shape), n_images), name)
    return torch.cat(parts).unflatten(0, (options["samples"], n_images))


@method("guided_grad_cam", families=("gradient", "cam"), signed=True, reduction="sum", options={"layer": "last"})
def guided_grad_cam(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Guided back-propagation times the upsampled Grad-CAM of a layer [Selvaraju et al. 2017, section 3.3]."""
    layer = layer_of(problem.encoder, options["layer"])
    explainer = attr.GuidedGradCam(ScoreModule(problem), layer)
    maps = explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,), interpolate_mode="bilinear")
    return Explanation(maps.detach())
