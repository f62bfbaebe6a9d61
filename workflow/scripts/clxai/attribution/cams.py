"""Class activation maps of a chosen layer, brought to the image by bilinear interpolation."""

from collections.abc import Mapping
from typing import Any

import torch
from captum import attr
from jaxtyping import Float
from torch import Tensor

from clxai.attribution.base import Explanation, Problem, layer_of, method


@method("grad_cam", families=("cam", "gradient"), aligned_to="layer", reduction="none", options={"layer": "last"})
def grad_cam(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """ReLU(sum_k w_k A_k), w_k the spatial mean of dm/dA_k [Selvaraju et al. 2017, eq. 1-2]."""
    explainer = attr.LayerGradCam(problem.log_odds, layer_of(problem.encoder, options["layer"]))
    maps = explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,), relu_attributions=True)
    return Explanation(_to_image(maps, problem))


@method("grad_cam_pp", families=("cam", "gradient"), aligned_to="layer", reduction="none", options={"layer": "last"})
def grad_cam_pp(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """ReLU(sum_k w_k A_k), w_k = sum_ij alpha_k^ij ReLU(dm/dA_k^ij) [Chattopadhyay et al. 2018, eq. 19 and 21]."""
    explainer = attr.LayerGradientXActivation(
        problem.log_odds, layer_of(problem.encoder, options["layer"]), multiply_by_inputs=False
    )
    gradient = explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,)).detach()
    with torch.no_grad():
        captured = attr.LayerActivation(problem.log_odds, layer_of(problem.encoder, options["layer"]))
        activation = captured.attribute(problem.inputs, additional_forward_args=(problem.rows,))
        weights = (grad_cam_pp_alpha(activation, gradient) * gradient.relu()).sum(dim=(2, 3), keepdim=True)
        maps = (weights * activation).sum(dim=1, keepdim=True).relu()
    return Explanation(_to_image(maps, problem))


def grad_cam_pp_alpha(
    activation: Float[Tensor, "image feature y x"], gradient: Float[Tensor, "image feature y x"]
) -> Float[Tensor, "image feature y x"]:
    """Return alpha = g^2 / (2 g^2 + sum_ab A^ab g^3), the closed form for Y = exp(m), g = dm/dA [eq. 19].

    0 where the denominator is 0 to rounding (relative to its terms), so that no absolute epsilon decides for small gradients.
    """
    square = gradient.square()
    spread = activation.sum(dim=(2, 3), keepdim=True) * gradient * square
    denominator = 2 * square + spread
    scale = 2 * square + spread.abs()
    usable = denominator.abs() > 1e-6 * scale
    return torch.where(usable, square / torch.where(usable, denominator, torch.ones_like(denominator)), 0.0)


def _to_image(maps: Tensor, problem: Problem) -> Tensor:
    return attr.LayerAttribution.interpolate(maps.detach(), tuple(problem.images.shape[-2:]), interpolate_mode="bilinear")
