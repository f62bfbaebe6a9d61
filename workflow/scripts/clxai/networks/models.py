"""ResNet-18 from torchvision's blocks: small-image or ImageNet stem, any width, any number of input channels.

A network takes images in [0, 1], normalises them and returns embeddings; the classifier (cross-entropy) or the projection
(contrastive losses) sits on top and is stored with it. All activations are module ReLUs that do not work in place, and each
batch normalisation directly follows its convolution, as LRP's canonisers and guided back-propagation need it.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from clxai.networks.architecture import Architecture, check_shapes, layout, read_checkpoint, write_checkpoint
from clxai.networks.inference import Encoder


class Backbone(nn.Module):
    """ResNet-18 from normalised images to embeddings [He et al. 2016]; the small stem is 3x3, stride 1, without max-pool."""

    def __init__(self, channels: int, width: int, stem: str) -> None:
        super().__init__()
        self.layout = layout(width)
        kernel, stride = (7, 2) if stem == "large" else (3, 1)
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "large" else nn.Identity()
        self.layer1 = _layer(width, width, 1)
        self.layer2 = _layer(width, 2 * width, 2)
        self.layer3 = _layer(2 * width, 4 * width, 2)
        self.layer4 = _layer(4 * width, 8 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()

    def forward(self, inputs: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image feature"]:
        """Return the embedding of normalised images: the spatial mean of layer4."""
        inputs = inputs.contiguous(memory_format=self.layout)
        inputs = self.maxpool(self.relu(self.bn1(self.conv1(inputs))))
        return self.flatten(self.avgpool(self.layer4(self.layer3(self.layer2(self.layer1(inputs))))))


def _layer(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    downsample = None
    if stride != 1 or n_in != n_out:
        downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
    blocks = nn.Sequential(BasicBlock(n_in, n_out, stride, downsample), BasicBlock(n_out, n_out))
    for block in blocks:
        block.relu.inplace = False
    return blocks


class Network(nn.Module):
    """Normalisation, backbone and what sits on top, as one module that takes images in [0, 1]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("mean", torch.tensor(architecture.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(-1, 1, 1))
        self.backbone = Backbone(len(architecture.mean), architecture.width, architecture.stem)
        self.backbone.apply(_initialise)  # before the top draws its weights: the same start whatever sits on top
        n_features = architecture.n_features
        if architecture.top == "classifier":
            self.top = nn.Linear(n_features, architecture.n_classes)
        else:  # the MLP head of Khosla et al. 2020, section 3.1
            last = nn.Linear(n_features, architecture.projection_size)
            self.top = nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), last)

    def normalise(self, images: Float[Tensor, "*batch channel y x"]) -> Float[Tensor, "*batch channel y x"]:
        """Map images in [0, 1] to zero mean and unit variance per channel of the training set."""
        return (images - self.mean) / self.std

    def forward(self, images: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image feature"]:
        """Return the embeddings of images in [0, 1]."""
        return self.backbone(self.normalise(images))

    def outputs(self, images: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image output"]:
        """Return what the loss takes: logits or projections of images in [0, 1]."""
        return self.top(self(images))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def folded(network: Network) -> Encoder:
    """Return the network's encoder for inference, from its weights as they are now."""
    encoder = Encoder(network.state_dict(), network.architecture)
    return encoder.to(next(network.parameters()).device)


def save_network(network: Network, path: str | Path) -> None:
    """Write weights and architecture as safetensors."""
    write_checkpoint(network.state_dict(), network.architecture, path)


def load_network(path: str | Path, device: torch.device) -> Network:
    """Read a network in eval mode, without gradients for its weights.

    Raises ClxaiError if the file is not a network or its weights do not fit the architecture that it names.
    """
    tensors, architecture = read_checkpoint(path)
    network = Network(architecture)
    check_shapes(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)
    return network.to(device).eval().requires_grad_(False)
