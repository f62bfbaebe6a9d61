"""The trained network for inference: batch norms folded into their convolutions, weights frozen.

It computes what `models.Network` computes in eval mode, up to float32 rounding, about a third faster.
"""

import copy
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clxai.errors import ClxaiError
from clxai.names import FLIPPING_PRECISIONS
from clxai.networks.architecture import Architecture
from clxai.networks.foreign import is_outside
from clxai.networks.models import Network, Normalised, load_network

_FOLDED_TOLERANCE = 1e-9  # of the largest value of an embedding, in float64


class Encoder(Normalised):
    """A network's normalisation, folded backbone and what sits on top: `classifier` or `projection`, the other is None.

    It shares nothing with the network.
    """

    def __init__(self, network: Network) -> None:
        outside = is_outside(network.architecture.network)  # nothing is known of what it does with its convolutions
        backbone = copy.deepcopy(network.backbone) if outside else folded_backbone(network.backbone, network.architecture)
        super().__init__(network.architecture, backbone)
        self.n_features = network.n_features
        tops = {network.architecture.top: copy.deepcopy(network.top)}
        self.classifier, self.projection = tops.get("classifier"), tops.get("projection")
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
            most = max(most, sum(tensor.numel() for tensor in (*inputs[:1], output) if isinstance(tensor, torch.Tensor)))

        hooks = [module.register_forward_hook(note) for module in self.backbone.modules() if not any(module.children())]
        try:
            image = torch.zeros(1, len(self.mean), *self.architecture.shape, device=self.mean.device)
            self.backbone(image)
        finally:
            for hook in hooks:
                hook.remove()
        return 4 * (2 * most + 4 * image.numel())


@torch.no_grad()
def folded_backbone(backbone: nn.Module, architecture: Architecture) -> nn.Module:
    """Return a copy in eval mode with every batch norm that is given a convolution's output folded into that convolution.

    In float64, since the result stands in for the original. Which norm follows which convolution is seen in a forward pass, not
    told by names or order. Raises ClxaiError if the folded copy computes something else: where a network has another use for what
    a convolution makes.
    """
    kind, backbone = next(backbone.parameters()).dtype, copy.deepcopy(backbone).eval().double()
    draws = torch.Generator().manual_seed(0)
    probe = torch.randn(1, len(architecture.mean), *architecture.shape, generator=draws, dtype=torch.float64)
    probe = probe.to(next(backbone.parameters()).device)
    expected, pairs = _followed(backbone, probe)
    for convolution, norm in pairs:
        backbone.set_submodule(convolution, fuse_conv_bn_eval(*map(backbone.get_submodule, (convolution, norm))))
        backbone.set_submodule(norm, nn.Identity())
    difference = float((backbone(probe) - expected).abs().max() / expected.abs().max().clamp(min=torch.finfo(kind).tiny))
    if not difference <= _FOLDED_TOLERANCE:
        raise ClxaiError(
            f"network {architecture.network!r}: with its batch norms folded into convolutions its embeddings differ by "
            f"{difference:.2g} (allowed {_FOLDED_TOLERANCE:g}): give a convolution's output to its batch norm and to nothing else"
        )
    return backbone.to(kind)


def _followed(backbone: nn.Module, probe: torch.Tensor) -> tuple[torch.Tensor, list[tuple[str, str]]]:
    """Return the embedding of an image, and the names of each convolution and of the batch norm that is given its output.

    Modules that are called more than once are left out.
    """
    made: list[tuple[torch.Tensor, str]] = []
    pairs, calls = [], Counter[str]()

    def note(name: str, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        calls[name] += 1
        if isinstance(module, nn.Conv2d):
            made.append((output, name))
        else:
            pairs.extend((maker, name) for tensor, maker in made if tensor is inputs[0])

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    noted = [(name, module) for name, module in backbone.named_modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(partial(note, name)) for name, module in noted]
    try:
        expected = backbone(probe)
    finally:
        for hook in hooks:
            hook.remove()
    return expected, [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1]


def prepared_for_flipping(encoder: Encoder, precision: str) -> Encoder:
    """Return a copy whose ReLUs work in place and whose backbone computes in `precision` ("float32" or "bfloat16").

    In place is a tenth faster without gradients, and wrong for hooks that read their inputs: hence a copy. A network from outside
    may read the input of a ReLU elsewhere, and stays as it is. Embeddings stay float32: the spatial mean sums in it.

    Raises ClxaiError if the precision is neither.
    """
    if precision not in FLIPPING_PRECISIONS:
        raise ClxaiError(f"flipping.precision must be one of {', '.join(FLIPPING_PRECISIONS)}. Got {precision!r}")
    prepared = copy.deepcopy(encoder)
    prepared.backbone.to(getattr(torch, precision))
    outside = is_outside(encoder.architecture.network)
    for module in prepared.backbone.modules():
        if isinstance(module, nn.ReLU) and not outside:
            module.inplace = True
    return prepared


def load_encoder(path: str | Path, device: torch.device) -> Encoder:
    """Read a trained network for inference. Raises ClxaiError if the file is none or its weights do not fit."""
    return Encoder(load_network(path, torch.device("cpu"))).to(device)
