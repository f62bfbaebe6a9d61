"""What networks are built of, beside torch's own modules: additions, the spatial mean, and the blocks of residual networks.

Each activation is a module of its own that is used once and does not work in place, and each batch norm directly follows its
convolution: as attribution hooks, relevance propagation and the folding of batch norms need it. The names of weights are those of
torchvision, which is not imported: it would cost every job a second.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Add(nn.Module):
    """The sum of two tensors, as a module, so that relevance propagation can give it a rule."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return one + other."""
        return one + other


class SpatialMean(nn.AdaptiveAvgPool2d):
    """The mean over y and x, in float32 or better."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, inputs: Float[Tensor, "image feature y x"]) -> Float[Tensor, "image feature"]:
        """Return one number a feature."""
        return inputs.mean(dim=(2, 3), dtype=torch.promote_types(inputs.dtype, torch.float32))


class BasicBlock(nn.Module):
    """A residual block [He et al. 2016, fig. 2]: two 3x3 convolutions, plus the input or its 1x1 projection."""

    expansion = 1

    def __init__(self, n_in: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = _convolution(n_in, planes, 3, stride), nn.BatchNorm2d(planes), nn.ReLU()
        self.conv2, self.bn2 = _convolution(planes, planes, 3), nn.BatchNorm2d(planes)
        self.add, self.relu2 = Add(), nn.ReLU()
        self.downsample = _shortcut(n_in, planes, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return relu(conv2(relu(conv1(x))) + shortcut(x))."""
        inner = self.relu1(self.bn1(self.conv1(inputs)))
        inner = self.bn2(self.conv2(inner))
        return self.relu2(self.add(inner, self.downsample(inputs)))


class Bottleneck(nn.Module):
    """A residual block [He et al. 2016, fig. 5]: 1x1, 3x3 (with the stride) and 1x1 convolution, 4 times as wide at its end."""

    expansion = 4

    def __init__(self, n_in: int, planes: int, stride: int) -> None:
        super().__init__()
        n_out = self.expansion * planes
        self.conv1, self.bn1, self.relu1 = _convolution(n_in, planes, 1), nn.BatchNorm2d(planes), nn.ReLU()
        self.conv2, self.bn2, self.relu2 = _convolution(planes, planes, 3, stride), nn.BatchNorm2d(planes), nn.ReLU()
        self.conv3, self.bn3 = _convolution(planes, n_out, 1), nn.BatchNorm2d(n_out)
        self.add, self.relu3 = Add(), nn.ReLU()
        self.downsample = _shortcut(n_in, n_out, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return relu(conv3(relu(conv2(relu(conv1(x))))) + shortcut(x))."""
        inner = self.relu1(self.bn1(self.conv1(inputs)))
        inner = self.relu2(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return self.relu3(self.add(inner, self.downsample(inputs)))


def _convolution(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)


def _shortcut(n_in: int, n_out: int, stride: int) -> nn.Module:
    """Return the identity, or a 1x1 convolution where resolution or width change."""
    if stride == 1 and n_in == n_out:
        return nn.Identity()
    return nn.Sequential(_convolution(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out))


def initialise(module: nn.Module) -> None:
    """Draw the weights of all convolutions in a module, normal with variance 2 / fan-out [He et al. 2015]."""
    for inner in module.modules():
        if isinstance(inner, nn.Conv2d):
            nn.init.kaiming_normal_(inner.weight, mode="fan_out", nonlinearity="relu")
