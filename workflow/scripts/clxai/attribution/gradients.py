"""Gradient methods, all through Captum, of the head's own log-odds with respect to the normalised input."""

from collections.abc import Mapping
from typing import Any

import torch
from captum import attr
from torch import Tensor, nn

from clxai.attribution.base import Explanation, Problem, layer_of, method
from clxai.randomness import key_of

INTERNAL_BATCH = 256  # copies per forward and backward pass inside a method, for images of up to 32 px


class ScoreModule(nn.Module):
    """The explained log-odds as a module, for methods that hook into one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.backbone, self.problem = problem.encoder.backbone, problem

    def forward(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Return one log-odds per row."""
        return self.problem.log_odds(inputs, rows)


@method(
    "saliency", family="gradient", aligned_to="input", signed=False, stochastic=False, per_head=True, baseline=None,
    reduction="abs_sum", extras=(), options={},
)  # fmt: skip
def saliency(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """|dm/dx| [Simonyan et al. 2014]."""
    explainer = attr.Saliency(problem.log_odds)
    return Explanation(explainer.attribute(problem.inputs, abs=False, additional_forward_args=(problem.rows,)).detach())


@method(
    "input_x_gradient", family="gradient", aligned_to="input", signed=True, stochastic=False, per_head=True, baseline=None,
    reduction="sum", extras=(), options={},
)  # fmt: skip
def input_x_gradient(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """x * dm/dx [Shrikumar et al. 2016], x the normalised input."""
    explainer = attr.InputXGradient(problem.log_odds)
    return Explanation(explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,)).detach())


@method(
    "integrated_gradients", family="gradient", aligned_to="input", signed=True, stochastic=False, per_head=True,
    baseline="mean", reduction="sum", extras=("convergence_delta", "completeness_error", "n_steps"),
    options={"steps": 64, "most_steps": 1024, "tolerance": 0.01}, at_most={"steps": "most_steps"},
)  # fmt: skip
def integrated_gradients(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """(x - b) * integral of dm/dx from b to x [Sundararajan et al. 2017, eq. 1], Gauss-Legendre.

    While the completeness error |sum - (m(x) - m(b))| / |m(x) - m(b)| has a median above `tolerance` over the batch, the number
    of steps doubles for the images above it, up to `most_steps`. The error is returned and checked again over all images.
    """
    rows, steps = problem.rows, options["steps"]
    with torch.no_grad():
        at_image, at_baseline = problem.log_odds(problem.inputs, rows), problem.log_odds(problem.baseline, rows)
    difference = (at_image - at_baseline).abs().clamp(min=1e-12)
    maps, delta = _integrate(problem, rows, steps)
    n_steps = torch.full_like(delta, steps)
    while _upper_median(delta.abs() / difference) > options["tolerance"] and 2 * steps <= options["most_steps"]:
        steps *= 2
        poor = rows[delta.abs() / difference > options["tolerance"]]
        maps[poor], delta[poor] = _integrate(problem, poor, steps)
        n_steps[poor] = steps
    extras = {"convergence_delta": delta, "completeness_error": delta.abs() / difference, "n_steps": n_steps}
    return Explanation(maps, extras)


def _integrate(problem: Problem, rows: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the maps of some images and what their sums lack to completeness."""
    maps, delta = attr.IntegratedGradients(problem.log_odds).attribute(
        problem.inputs[rows],
        problem.baseline[rows],
        additional_forward_args=(rows,),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=max(_copies_per_pass(problem), len(rows)),
        return_convergence_delta=True,
    )
    return maps.float().detach(), delta.float().detach()


def _copies_per_pass(problem: Problem) -> int:
    """Return how many copies of the images go through the network at once: fewer of larger ones, so that memory is bounded."""
    return max(1, min(INTERNAL_BATCH, INTERNAL_BATCH * 32**2 // problem.images.shape[-1] ** 2))


def _upper_median(values: Tensor) -> float:
    """Return the upper median: if it holds in every batch, more than half of all images hold."""
    return float(values.sort().values[len(values) // 2])


@method(
    "smoothgrad", family="gradient", aligned_to="input", signed=False, stochastic=True, per_head=True, baseline=None,
    reduction="abs_sum", extras=(), options={"samples": 25, "sigma": 0.15},
)  # fmt: skip
def smoothgrad(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Mean gradient over noisy copies [Smilkov et al. 2017], magnitude taken after the mean.

    sigma is a share of the range of normalised values in the batch. The noise is the same for all heads of a model.
    """
    inputs = problem.inputs
    explainer = attr.NoiseTunnel(attr.Saliency(problem.log_odds))
    spread = options["sigma"] * float((inputs.amax() - inputs.amin()).detach())
    with torch.random.fork_rng(devices=[inputs.device] if inputs.is_cuda else []):
        torch.manual_seed(key_of("smoothgrad", problem.seed, int(problem.index[0])))
        maps = explainer.attribute(
            inputs, nt_type="smoothgrad", nt_samples=options["samples"], stdevs=spread, abs=False,
            nt_samples_batch_size=max(1, _copies_per_pass(problem) // len(inputs)), additional_forward_args=(problem.rows,),
        )  # fmt: skip
    return Explanation(maps.detach())


@method(
    "guided_grad_cam", family="gradient", aligned_to="input", signed=True, stochastic=False, per_head=True, baseline=None,
    reduction="sum", extras=(), options={"layer": "layer4"},
)  # fmt: skip
def guided_grad_cam(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Guided back-propagation times the upsampled Grad-CAM of a layer [Selvaraju et al. 2017, section 3.3]."""
    layer = layer_of(problem.encoder, options["layer"])
    explainer = attr.GuidedGradCam(ScoreModule(problem), layer)
    maps = explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,), interpolate_mode="bilinear")
    return Explanation(maps.detach())
