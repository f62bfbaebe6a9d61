"""The trained network for inference: batch norms folded into their convolutions, weights frozen.

It computes what `models.Network` computes in eval mode, up to float32 rounding, about a third faster.
"""

import copy
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clxai.errors import ClxaiError
from clxai.names import FLIPPING_PRECISIONS
from clxai.networks.models import Network, Normalised, load_network


class Encoder(Normalised):
    """A network's normalisation, folded backbone and what sits on top: `classifier` or `projection`, the other is None.

    It shares nothing with the network.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network.architecture, folded_backbone(network.backbone))
        self.n_features = network.n_features
        top = copy.deepcopy(network.top)
        self.classifier, self.projection = (top, None) if network.architecture.top == "classifier" else (None, top)
        self.to(network.mean.device).eval().requires_grad_(False)
        self.backbone.to(memory_format=self.backbone.layout)

    @torch.no_grad()
    def bytes_per_image(self) -> int:
        """Return the float32 bytes that an image holds at the peak of a forward pass without gradients, met on a black image.

        Twice the input and output of the module where these are largest: in a residual block, its input and what its last
        convolution takes and makes, and a convolution's workspace. And the image: normalised, laid out, masked and filled.
        """
        most = 0

        def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            nonlocal most
            most = max(most, inputs[0].numel() + output.numel())

        hooks = [module.register_forward_hook(note) for module in self.backbone.modules() if not any(module.children())]
        try:
            image = torch.zeros(1, len(self.mean), *self.architecture.shape, device=self.mean.device)
            self.backbone(image)
        finally:
            for hook in hooks:
                hook.remove()
        return 4 * (2 * most + 4 * image.numel())


def folded_backbone(backbone: nn.Module) -> nn.Module:
    """Return a copy in eval mode with every batch norm that directly follows a convolution folded into it.

    In float64, since the result stands in for the original.
    """
    backbone, kind = copy.deepcopy(backbone).eval(), next(backbone.parameters()).dtype
    for parent, convolution, norm in list(_pairs(backbone)):
        original = getattr(parent, convolution)
        merged = fuse_conv_bn_eval(original.double(), getattr(parent, norm).double())
        setattr(parent, convolution, merged.to(kind))
        setattr(parent, norm, nn.Identity())
    return backbone


def _pairs(backbone: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Yield each convolution whose next sibling is a batch norm: parent and both names."""
    for parent in backbone.modules():
        children = list(parent.named_children())
        for (name, module), (next_name, following) in pairwise(children):
            if isinstance(module, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                yield parent, name, next_name


def prepared_for_flipping(encoder: Encoder, precision: str) -> Encoder:
    """Return a copy whose ReLUs work in place and whose backbone computes in `precision` ("float32" or "bfloat16").

    In place is a tenth faster without gradients, and wrong for hooks that read their inputs: hence a copy. Embeddings stay
    float32: the spatial mean sums in it.

    Raises ClxaiError if the precision is neither.
    """
    if precision not in FLIPPING_PRECISIONS:
        raise ClxaiError(f"flipping.precision must be one of {', '.join(FLIPPING_PRECISIONS)}. Got {precision!r}")
    prepared = copy.deepcopy(encoder)
    prepared.backbone.to(getattr(torch, precision))
    for module in prepared.backbone.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    return prepared


def load_encoder(path: str | Path, device: torch.device) -> Encoder:
    """Read a trained network for inference. Raises ClxaiError if the file is none or its weights do not fit."""
    return Encoder(load_network(path, torch.device("cpu"))).to(device)
