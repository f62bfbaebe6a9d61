"""Residual networks [He et al. 2016] with a stem for small or large images, any width, any number of input channels."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from clxai.networks.base import network
from clxai.networks.blocks import BasicBlock, Bottleneck, SpatialMean, initialise


class ResNet(nn.Module):
    """Stem, four stages of blocks, spatial mean. The small stem is 3x3, stride 1, without max-pool; the large 7x7, stride 2."""

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: Sequence[int], channels: int, width: int, stem: str) -> None:
        super().__init__()
        kernel, stride = (7, 2) if stem == "large" else (3, 1)
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "large" else nn.Identity()
        n_in = width
        for number, depth in enumerate(depths):
            planes = width * 2**number
            blocks = [block(n_in, planes, 1 if number == 0 else 2)]
            n_in = block.expansion * planes
            blocks += [block(n_in, planes, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))
        self.mean = SpatialMean()
        initialise(self)

    def forward(self, inputs: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image feature"]:
        """Return the embedding of normalised images: the spatial mean of layer4."""
        inputs = self.maxpool(self.relu(self.bn1(self.conv1(inputs))))
        return self.mean(self.layer4(self.layer3(self.layer2(self.layer1(inputs)))))


@network(
    "resnet18",
    layers=("layer1", "layer2", "layer3", "layer4"),
    smallest={"small": 16, "large": 64},
    lrp="residual",
    options={"width": 64, "stem": "auto"},
)
def resnet18(options: Mapping[str, Any], channels: int) -> nn.Module:
    """ResNet-18: two basic blocks a stage; `width` channels in the first, 8 times as many features."""
    return ResNet(BasicBlock, (2, 2, 2, 2), channels, options["width"], options["stem"])


@network(
    "resnet50",
    layers=("layer1", "layer2", "layer3", "layer4"),
    smallest={"small": 16, "large": 64},
    lrp="residual",
    options={"width": 64, "stem": "auto"},
)
def resnet50(options: Mapping[str, Any], channels: int) -> nn.Module:
    """ResNet-50: 3, 4, 6 and 3 bottleneck blocks; `width` channels in the first stage, 32 times as many features."""
    return ResNet(Bottleneck, (3, 4, 6, 3), channels, options["width"], options["stem"])
