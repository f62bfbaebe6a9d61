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
    activation, gradient = _at_layer(problem, options["layer"])
    weights = (grad_cam_pp_alpha(activation, gradient) * gradient.relu()).sum(dim=(2, 3), keepdim=True)
    maps = (weights * activation).sum(dim=1, keepdim=True).relu()
    return Explanation(_to_image(maps, problem))


@method("layer_cam", families=("cam", "gradient"), aligned_to="layer", reduction="none", options={"layer": "last"})
def layer_cam(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """ReLU(sum_k ReLU(dm/dA_k) A_k), a weight for every position [Jiang et al. 2021]."""
    activation, gradient = _at_layer(problem, options["layer"])
    return Explanation(_to_image((gradient.relu() * activation).sum(dim=1, keepdim=True).relu(), problem))


@method("hires_cam", families=("cam", "gradient"), aligned_to="layer", signed=True, reduction="none", options={"layer": "last"})
def hires_cam(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """sum_k dm/dA_k A_k, without a mean over positions and without ReLU [Draelos, Carin 2020]."""
    explainer = attr.LayerGradientXActivation(problem.log_odds, layer_of(problem.encoder, options["layer"]))
    maps = explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,))
    return Explanation(_to_image(maps.sum(dim=1, keepdim=True), problem))


@method("eigen_cam", families=("cam",), aligned_to="layer", per_head=False, reduction="none", options={"layer": "last"})
def eigen_cam(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """ReLU of the activations on their first right singular vector: no class, no head [Muhammad, Yeasin 2020]."""
    return Explanation(_to_image(first_component(_activation(problem, options["layer"])).relu(), problem))


def first_component(activation: Float[Tensor, "image feature y x"]) -> Float[Tensor, "image 1 y x"]:
    """Return A v, A [position, feature] the activations as they are and v their first right singular vector, of sum >= 0.

    The sign of a singular vector is arbitrary, hence the convention. After a ReLU no value is then below 0: the first singular
    vectors of a matrix without negative entries have one sign.
    """
    left, size, _ = torch.linalg.svd(activation.double().flatten(2).transpose(1, 2), full_matrices=False)
    projected = left[..., 0] * size[:, :1]
    signed = torch.where(projected.sum(dim=1, keepdim=True) < 0, -projected, projected)
    return signed.to(activation.dtype).unflatten(1, activation.shape[2:])[:, None]


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


def _at_layer(problem: Problem, layer: str) -> tuple[Tensor, Tensor]:
    """Return activation A and gradient dm/dA of a layer, each [image, feature, y, x]."""
    explainer = attr.LayerGradientXActivation(problem.log_odds, layer_of(problem.encoder, layer), multiply_by_inputs=False)
    gradient = explainer.attribute(problem.inputs, additional_forward_args=(problem.rows,)).detach()
    return _activation(problem, layer), gradient


@torch.no_grad()
def _activation(problem: Problem, layer: str) -> Tensor:
    """Return the activation of a layer [image, feature, y, x]."""
    captured = attr.LayerActivation(problem.log_odds, layer_of(problem.encoder, layer))
    return captured.attribute(problem.inputs, additional_forward_args=(problem.rows,))


def _to_image(maps: Tensor, problem: Problem) -> Tensor:
    return attr.LayerAttribution.interpolate(maps.detach(), tuple(problem.images.shape[-2:]), interpolate_mode="bilinear")
