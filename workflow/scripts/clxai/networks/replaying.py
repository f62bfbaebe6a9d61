"""What follows a layer of a network, run on from another output of that layer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clxai.networks.inference import Encoder


@torch.no_grad()
def embedded_from(encoder: Encoder, layer: str, maps: Float[Tensor, "row channel y x"]) -> Float[Tensor, "row feature"]:
    """Return the embeddings that follow from outputs of a layer, whatever it is given.

    What comes before the layer costs no more than a pass of one black image, which nothing should see: where something bypasses
    the layer, the embeddings are not those of its outputs alone. Callers check that.
    """
    backbone, replaced, begun = encoder.backbone, encoder.backbone.get_submodule(layer), []
    given = maps.contiguous(memory_format=backbone.layout)

    def one_row(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Take one row for the first module that is called and does not contain the layer."""
        if begun:
            return None
        begun.append(module)
        return tuple(tensor[:1] for tensor in inputs)

    apart = [module for module in backbone.modules() if replaced not in set(module.modules()) - {module}]
    hooks = [module.register_forward_pre_hook(one_row) for module in apart]
    hooks.append(replaced.register_forward_hook(lambda module, inputs, output: given))
    try:
        return backbone(torch.zeros(len(maps), len(encoder.mean), *encoder.architecture.shape, device=maps.device))
    finally:
        for hook in hooks:
            hook.remove()
