"""Ablation-CAM: channels of a layer weighed by what the log-odds lose without them; no gradients.

The layer is computed once. Then only what follows it is, from copies that lack one channel each, of all images and channels
together.
"""

from collections.abc import Mapping
from typing import Any

import torch
from captum import attr
from jaxtyping import Float, Int
from torch import Tensor

from clxai.attribution.base import Explanation, Problem, layer_name, layer_of, method
from clxai.errors import ClxaiError
from clxai.networks.replaying import embedded_from
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once

_REPLAYED = 1e-3  # of the largest log-odds: how exactly the layer's output alone must give the log-odds again


@method("ablation_cam", families=("cam", "perturbation"), aligned_to="layer", reduction="none", options={"layer": "last"})
@torch.no_grad()
def ablation_cam(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """ReLU(sum_k w_k A_k), w_k = m - m(channel k of the layer set to 0) [Desai, Ramaswamy 2020].

    The published weights are divided by m. That is one number for the whole image, which a log-odds may have near or below 0; it
    is left out. Channels that are 0 everywhere have the weight 0 and cost nothing.

    Raises ClxaiError if the log-odds depend on more of the network than the layer's output.
    """
    layer = layer_name(problem.encoder, options["layer"])
    captured = attr.LayerActivation(problem.log_odds, layer_of(problem.encoder, layer))
    activation = captured.attribute(problem.inputs, additional_forward_args=(problem.rows,)).detach()
    intact = _after(problem, layer, activation, problem.rows)
    _check_replayed(problem, intact, layer)
    image, channel = activation.flatten(2).any(dim=2).nonzero().unbind(dim=1)

    def lost(some: Int[Tensor, " copy"]) -> Float[Tensor, " copy"]:
        ablated = activation[image[some]]
        ablated[torch.arange(len(some), device=some.device), channel[some]] = 0
        return intact[image[some]] - _after(problem, layer, ablated, image[some])

    copies = torch.arange(len(image), device=image.device)
    parts = in_chunks(lost, copies, at_once("copies", problem.images.shape), "ablation_cam")
    weights = activation.new_zeros(activation.shape[:2])
    weights[image, channel] = torch.cat([intact[:0], *parts])
    maps = (weights[..., None, None] * activation).sum(dim=1, keepdim=True).relu()
    return Explanation(attr.LayerAttribution.interpolate(maps, tuple(problem.images.shape[-2:]), interpolate_mode="bilinear"))


def _after(
    problem: Problem, layer: str, activation: Float[Tensor, "row feature y x"], rows: Int[Tensor, " row"]
) -> Float[Tensor, " row"]:
    """Return the log-odds of rows whose layer puts out this."""
    embeddings = embedded_from(problem.encoder, layer, activation)
    return problem.point_log_odds(problem.head.points(embeddings), rows)


def _check_replayed(problem: Problem, intact: Tensor, name: str) -> None:
    """Raise ClxaiError unless the output of the layer alone gives the log-odds of the images."""
    expected = problem.log_odds(problem.inputs, problem.rows)
    if not torch.allclose(intact, expected, rtol=0, atol=_REPLAYED * max(1.0, float(expected.abs().max()))):
        raise ClxaiError(
            f"ablation_cam: not all that the network computes passes through the layer {name!r}, so that its channels cannot be "
            "removed alone: choose a layer that is not bridged by another path"
        )
