"""The trained network for inference: batch norms folded into their convolutions, weights frozen.

It computes what `models.Network` computes in eval mode, up to float32 rounding, about a third faster, and without importing
torchvision, which costs every job a second. Its ReLUs are modules used once each, as attribution hooks need them.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clxai.errors import ClxaiError
from clxai.names import FLIPPING_PRECISIONS, LAYERS
from clxai.networks.architecture import Architecture, check_shapes, layout, read_checkpoint

_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_EPS = 1e-5  # of the batch norms, torch's default


class FoldedBlock(nn.Module):
    """A residual block [He et al. 2016, fig. 2]: two 3x3 convolutions, plus the input or its 1x1 projection."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(n_in, n_out, 3, stride, 1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(n_out, n_out, 3, 1, 1), nn.ReLU()
        self.downsample = nn.Conv2d(n_in, n_out, 1, stride) if stride != 1 or n_in != n_out else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return relu(conv2(relu(conv1(x))) + shortcut(x))."""
        return self.relu2(self.conv2(self.relu1(self.conv1(inputs))) + self.downsample(inputs))


class FoldedBackbone(nn.Module):
    """ResNet-18 from normalised images to embeddings, without batch norms."""

    def __init__(self, channels: int, width: int, stem: str) -> None:
        super().__init__()
        self.layout = layout(width)
        kernel, stride = (7, 2) if stem == "large" else (3, 1)
        self.conv1, self.relu = nn.Conv2d(channels, width, kernel, stride, kernel // 2), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "large" else nn.Identity()
        for number, name in enumerate(LAYERS):
            n_in, n_out = width * 2 ** max(0, number - 1), width * 2**number
            first = FoldedBlock(n_in, n_out, 1 if number == 0 else 2)
            setattr(self, name, nn.Sequential(first, FoldedBlock(n_out, n_out, 1)))

    def forward(self, inputs: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image feature"]:
        """Return the embeddings of normalised images: the spatial mean of layer4, in float32 or better."""
        inputs = inputs.contiguous(memory_format=self.layout)
        inputs = self.maxpool(self.relu(self.conv1(inputs)))
        features = self.layer4(self.layer3(self.layer2(self.layer1(inputs))))
        return features.mean(dim=(2, 3), dtype=torch.promote_types(features.dtype, torch.float32))


class Encoder(nn.Module):
    """Normalisation and folded backbone as one module that takes images in [0, 1]; `classifier` is None without one."""

    def __init__(self, tensors: Mapping[str, Tensor], architecture: Architecture, path: str | Path = "network") -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("mean", torch.tensor(architecture.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(-1, 1, 1))
        self.backbone = FoldedBackbone(len(architecture.mean), architecture.width, architecture.stem)
        weights = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
        folded = fold_batch_norms(weights, path)
        check_shapes(folded, self.backbone.state_dict(), path)
        self.backbone.load_state_dict(folded)
        self.classifier = None
        if architecture.top == "classifier":
            self.classifier = nn.Linear(architecture.n_features, architecture.n_classes)
            own = {part: tensors[f"top.{part}"].detach() for part in ("weight", "bias") if f"top.{part}" in tensors}
            check_shapes(own, self.classifier.state_dict(), path)
            self.classifier.load_state_dict(own)
        self.eval().requires_grad_(False)
        self.backbone.to(memory_format=self.backbone.layout)

    def normalise(self, images: Float[Tensor, "*batch channel y x"]) -> Float[Tensor, "*batch channel y x"]:
        """Map images in [0, 1] to zero mean and unit variance per channel of the training set."""
        return (images - self.mean) / self.std

    def forward(self, images: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image feature"]:
        """Return the embeddings of images in [0, 1]."""
        return self.backbone(self.normalise(images))


def prepare_for_flipping(backbone: FoldedBackbone, precision: str) -> None:
    """Let the ReLUs work in place and the convolutions in `precision` ("float32" or "bfloat16").

    In place is a tenth faster without gradients, and wrong for hooks that read their inputs. Embeddings stay float32: the spatial
    mean sums in it.

    Raises ClxaiError if the precision is neither.
    """
    if precision not in FLIPPING_PRECISIONS:
        raise ClxaiError(f"flipping.precision must be one of {', '.join(FLIPPING_PRECISIONS)}. Got {precision!r}")
    backbone.to(getattr(torch, precision))
    for module in backbone.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True


def fold_batch_norms(weights: Mapping[str, Tensor], path: str | Path = "network") -> dict[str, Tensor]:
    """Return the weights of a torchvision ResNet's backbone with every batch norm folded into its convolution.

    w' = w g / sqrt(v + eps), b' = b - m g / sqrt(v + eps), with g, b, m, v the batch norm's scale, shift, mean and variance; in
    float64, since the result stands in for the original.

    Raises ClxaiError if a convolution has no batch norm.
    """
    folded: dict[str, Tensor] = {}
    for name in [name for name, value in weights.items() if name.endswith("weight") and value.ndim == 4]:
        convolution = name.removesuffix(".weight")
        norm = _norm_of(convolution)
        # torchvision numbers the two parts of a projection shortcut; here it is one convolution.
        target = convolution.removesuffix(".0") if "downsample" in convolution else convolution
        if any(f"{norm}.{part}" not in weights for part in _NORM_PARTS):
            raise ClxaiError(f"{path}: checkpoint of another architecture: {convolution} has no whole batch norm {norm}")
        scale, shift, mean, variance = (weights[f"{norm}.{part}"].double() for part in _NORM_PARTS)
        factor = scale / torch.sqrt(variance + _EPS)
        folded[f"{target}.weight"] = (weights[name].double() * factor[:, None, None, None]).to(weights[name].dtype)
        folded[f"{target}.bias"] = (shift - mean * factor).to(weights[name].dtype)
    return folded


def _norm_of(convolution: str) -> str:
    head, _, last = convolution.rpartition(".")
    prefix = f"{head}." if head else ""
    return f"{prefix}1" if last == "0" else f"{prefix}{last.replace('conv', 'bn')}"


def load_encoder(path: str | Path, device: torch.device) -> Encoder:
    """Read a trained network for inference. Raises ClxaiError if the file is none or its weights do not fit."""
    tensors, architecture = read_checkpoint(path)
    return Encoder(tensors, architecture, path).to(device)
