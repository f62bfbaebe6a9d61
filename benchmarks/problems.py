"""The networks, images and heads on which is measured. Weights are random: the time of a forward pass does not depend on them."""

import math
from dataclasses import dataclass

import torch
from clxai.fills.base import fills_of
from clxai.flipping.density import Density
from clxai.flipping.engine import Flipping
from clxai.flipping.observing import Observer
from clxai.heads.base import HEADS, Head
from clxai.networks.architecture import Architecture
from clxai.networks.embeddings import class_means
from clxai.networks.inference import Encoder
from clxai.networks.models import Network
from clxai.units.base import cut_images
from clxai.units.removal import removal_counts
from torch import Tensor
from torch.nn import functional

N_CLASSES = 10
SEED = 0


@dataclass(frozen=True)
class Problem:
    """A size of network and images: the default study's, or the full-width ResNet-18 of the field at 32x32."""

    name: str
    channels: int
    shape: tuple[int, int]  # [y, x] in pixels
    width: int
    unit_px: int
    n_bank: int
    n_flipped: int  # images that a quick flip takes
    threads: int  # with which its jobs run

    @property
    def n_units(self) -> int:
        """The units of an image."""
        return math.prod(side // self.unit_px for side in self.shape)


SMALL = Problem("width 16, 24x24x1", channels=1, shape=(24, 24), width=16, unit_px=3, n_bank=1100, n_flipped=64, threads=1)
FULL = Problem("width 64, 32x32x3", channels=3, shape=(32, 32), width=64, unit_px=1, n_bank=5000, n_flipped=4, threads=2)
GREY = Problem("width 64, 32x32x1", channels=1, shape=(32, 32), width=64, unit_px=1, n_bank=1000, n_flipped=16, threads=2)
LARGE = Problem("width 64, 224x224x3", channels=3, shape=(224, 224), width=64, unit_px=14, n_bank=0, n_flipped=0, threads=2)


def network_of(problem: Problem, device: torch.device, top: str = "classifier") -> Network:
    """Return a network in eval mode whose batch norms have seen images, so that activations are of a usual size."""
    torch.manual_seed(SEED)
    grey = (0.5,) * problem.channels
    architecture = Architecture(
        "resnet18", {"width": problem.width}, problem.shape, grey, (0.25,) * problem.channels, N_CLASSES, top
    )
    network = Network(architecture).to(device, memory_format=torch.channels_last)
    with torch.no_grad():
        network.train()(images_of(problem, 64, device))
    return network.eval()


def encoder_of(problem: Problem, device: torch.device) -> Encoder:
    """Return the folded encoder of a network."""
    return Encoder(network_of(problem, device))


def images_of(problem: Problem, n_images: int, device: torch.device) -> Tensor:
    """Return random images in [0, 1], smooth like photographs rather than white noise."""
    generator = torch.Generator().manual_seed(SEED)
    coarse = torch.rand(n_images, problem.channels, *(side // 4 for side in problem.shape), generator=generator)
    smooth = functional.interpolate(coarse, size=problem.shape, mode="bilinear")
    return smooth.to(device).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def embeddings_of(encoder: Encoder, problem: Problem, n_images: int) -> Tensor:
    """Return embeddings like those of a trained network: random images' own, spread over classes."""
    device = encoder.mean.device
    some = encoder(images_of(problem, 256, device))
    torch.manual_seed(SEED)
    centre = some[torch.randint(len(some), (n_images,))]
    return (centre + some.std(dim=0) * torch.randn(n_images, some.shape[1], device=device)).clamp(min=0)


def heads_of(encoder: Encoder, problem: Problem) -> dict[str, Head]:
    """Fit the four heads of the study on a bank of random embeddings."""
    bank = embeddings_of(encoder, problem, problem.n_bank)
    labels = torch.randint(N_CLASSES, (len(bank),), device=bank.device)
    options = {name: dict(entry.semantics["options"]) for name, entry in HEADS.items()}
    options["linear"]["C"] = 1e-3  # random labels: a short fit
    fitted = {}
    for name, chosen in options.items():
        fitted[name] = HEADS[name].definition.fit(bank, labels, N_CLASSES, chosen, encoder.classifier).to(bank.device)
    return fitted


@torch.no_grad()
def observer_for(encoder: Encoder, problem: Problem, images: Tensor, heads: dict[str, Head], bank_k: int = 10) -> Observer:
    """Return the observer of some images."""
    bank = embeddings_of(encoder, problem, problem.n_bank)
    labels = torch.arange(len(bank), device=bank.device) % N_CLASSES
    targets = torch.stack([head.predict(encoder(images)) for head in heads.values()])
    centroids, density = class_means(bank, labels, N_CLASSES), Density.of(bank, labels, N_CLASSES)
    return Observer(heads, targets, centroids, bank.mean(dim=0), functional.normalize(bank, dim=1), bank_k, density)


def flipping_of(problem: Problem, fills: tuple[str, ...], n_steps: int, batch_size: int, precision: str = "float32") -> Flipping:
    """Return the plan of a flipping run."""
    sides = {"height": problem.unit_px, "width": problem.unit_px}
    cut = cut_images("grid", sides, torch.empty(1, 1, *problem.shape))
    return Flipping(fills_of(fills), cut, removal_counts(cut.n_units, n_steps), SEED, batch_size, precision)


def ranks_of(problem: Problem, n_explained: int, n_images: int, device: torch.device) -> Tensor:
    """Return random rankings of the units."""
    torch.manual_seed(SEED)
    return torch.rand(n_explained, n_images, problem.n_units).argsort(dim=-1).to(device)
