"""A network as it is trained: normalisation, a backbone of the family, and what sits on top.

It takes images in [0, 1] and returns embeddings; the classifier (cross-entropy) or the projection (contrastive losses) is stored
with it.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clxai.errors import ClxaiError
from clxai.networks.architecture import Architecture, check_shapes, layout, read_checkpoint, write_checkpoint
from clxai.networks.base import NETWORKS


class Normalised(nn.Module):
    """Normalisation and backbone as one module from images in [0, 1] to embeddings."""

    def __init__(self, architecture: Architecture, backbone: nn.Module) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("mean", torch.tensor(architecture.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(-1, 1, 1))
        self.backbone = backbone

    def normalise(self, images: Float[Tensor, "*batch channel y x"]) -> Float[Tensor, "*batch channel y x"]:
        """Map images in [0, 1] to zero mean and unit variance per channel of the training set."""
        return (images - self.mean) / self.std

    def forward(self, images: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image feature"]:
        """Return the embeddings of images in [0, 1]."""
        return self.backbone(self.normalise(images))


class Network(Normalised):
    """A network with its top; `n_features` is the size of its embedding."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture, build_backbone(architecture))
        # The backbone has drawn its weights before the top does: the same start whatever sits on top.
        self.n_features = n_features = embedding_size(self.backbone, architecture)
        if architecture.top == "classifier":
            self.top = nn.Linear(n_features, architecture.n_classes)
        else:  # the MLP head of Khosla et al. 2020, section 3.1
            last = nn.Linear(n_features, architecture.projection_size)
            self.top = nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), last)

    def outputs(self, images: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image output"]:
        """Return what the loss takes: logits or projections of images in [0, 1]."""
        return self.top(self(images))


def build_backbone(architecture: Architecture) -> nn.Module:
    """Return a new backbone that lays its inputs out in memory as its weights should be; the format is its `layout`."""
    backbone = NETWORKS[architecture.network].definition(architecture.options, len(architecture.mean))
    backbone.layout = layout(backbone)
    backbone.register_forward_pre_hook(lay_out)
    return backbone


def lay_out(backbone: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Return the inputs in the memory format of the backbone: a hook before its forward pass."""
    return (inputs[0].contiguous(memory_format=backbone.layout),)


@torch.no_grad()
def embedding_size(backbone: nn.Module, architecture: Architecture) -> int:
    """Return the features of an embedding, by a pass of one black image. Raises ClxaiError if it gives no embedding."""
    was_training = backbone.training
    output = backbone.eval()(torch.zeros(1, len(architecture.mean), *architecture.shape))
    backbone.train(was_training)
    if output.ndim != 2 or len(output) != 1:
        raise ClxaiError(f"network {architecture.network!r} must give [image, feature]. Got {list(output.shape)} for one image")
    return output.shape[1]


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
