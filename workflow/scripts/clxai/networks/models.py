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
from clxai.networks.foreign import is_outside, taken_in


class Normalised(nn.Module):
    """Normalisation and backbone as one module from images in [0, 1] to embeddings."""

    def __init__(self, architecture: Architecture, backbone: nn.Module) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("mean", torch.tensor(architecture.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(-1, 1, 1))
        if architecture.normalise is not None:
            for name, values in zip(("own_mean", "own_std"), architecture.normalise, strict=True):
                self.register_buffer(name, torch.tensor(values).view(-1, 1, 1))
        self.backbone = backbone

    @property
    def scale(self) -> Float[Tensor, "channel 1 1"]:
        """What an image in [0, 1] is divided by, per channel, before the backbone takes it."""
        return self.std if self.architecture.normalise is None else self.own_std

    def normalise(self, images: Float[Tensor, "*batch channel y x"]) -> Float[Tensor, "*batch channel y x"]:
        """Map images in [0, 1] to zero mean and unit variance per channel of the training set, or as the network was trained."""
        return (images - (self.mean if self.architecture.normalise is None else self.own_mean)) / self.scale

    def forward(self, images: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image feature"]:
        """Return the embeddings of images in [0, 1]."""
        return self.backbone(self.normalise(images))


class Network(Normalised):
    """A network with its top; `n_features` is the size of its embedding."""

    def __init__(self, architecture: Architecture) -> None:
        backbone, own_classifier = build_backbone(architecture)
        super().__init__(architecture, backbone)
        # The backbone has drawn its weights before the top does: the same start whatever sits on top.
        self.n_features = n_features = embedding_size(self.backbone, architecture)
        if architecture.top == "classifier":
            self.top = nn.Linear(n_features, architecture.n_classes) if own_classifier is None else own_classifier
        elif architecture.top == "nothing":
            self.top = nn.Identity()
        else:  # the MLP head of Khosla et al. 2020, section 3.1
            last = nn.Linear(n_features, architecture.projection_size)
            self.top = nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), last)

    def outputs(self, images: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image output"]:
        """Return what the loss takes: logits or projections of images in [0, 1]."""
        return self.top(self(images))


def build_backbone(architecture: Architecture) -> tuple[nn.Module, nn.Linear | None]:
    """Return a new backbone that lays its inputs out in memory as its weights should be; the format is its `layout`.

    And the classifier of a network from outside that brings one, taken out of it.
    """
    entry = NETWORKS[architecture.network]
    built, classifier = entry.definition(architecture.options, len(architecture.mean)), None
    if is_outside(entry.name):
        built, classifier = taken_in(built, architecture)
    built.layout = layout(built)
    built.register_forward_pre_hook(lay_out)
    return built, classifier


def lay_out(backbone: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Return the inputs in the memory format of the backbone: a hook before its forward pass."""
    return (inputs[0].contiguous(memory_format=backbone.layout),)


@torch.no_grad()
def embedding_size(backbone: nn.Module, architecture: Architecture) -> int:
    """Return the features of an embedding, by a pass of one black image. Raises ClxaiError if it gives no embedding."""
    was_training = backbone.training
    output = backbone.eval()(torch.zeros(1, len(architecture.mean), *architecture.shape))
    backbone.train(was_training)
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1:
        found = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ClxaiError(f"network {architecture.network!r} must give [image, feature]. Got {found} for one image")
    return output.shape[1]


def save_network(network: Network, path: str | Path) -> None:
    """Write weights and architecture as safetensors."""
    write_checkpoint(network.state_dict(), network.architecture, path)


def load_network(path: str | Path, device: torch.device) -> Network:
    """Read a network in eval mode, without gradients for its weights; global generators stay as they are.

    Raises ClxaiError if the file is not a network or its weights do not fit the architecture that it names.
    """
    tensors, architecture = read_checkpoint(path)
    with torch.random.fork_rng(devices=[]):  # the weights that are drawn here are replaced
        network = Network(architecture)
    check_shapes(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)
    return network.to(device).eval().requires_grad_(False)
