"""A training epoch against its own passes on fixed tensors, and against the usual PIL transforms in a DataLoader."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from clxai.data.batches import ImageStore
from clxai.losses.base import LOSSES
from clxai.networks.models import Network
from clxai.runtime.devices import autocast
from clxai.training.training import train_epoch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks import problems
from benchmarks.measuring import Comparison, Setting, by_turns

BATCH = 32
_JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "probability": 0.8}
_NO_JITTER = dict.fromkeys(_JITTER, 0.0)
# The published recipes: He et al. 2016, section 4.2; Khosla et al. 2020 with its reference code.
_PLAIN = {"crop_padding": 4, "resized_crop": None, "flip": True, "jitter": _NO_JITTER, "grey": 0}
_STRONG = {"crop_padding": 0, "resized_crop": [0.2, 1.0], "flip": True, "jitter": _JITTER, "grey": 0.2}
_COMMON = {
    "learning_rate": 0.1,
    "warmup_epochs": 0,
    "epochs": 100,
    "schedule": "cosine",
    "loss_options": {},
    "precision": "float32",
}
RECIPES = {
    "CE": {**_COMMON, "loss": "cross_entropy", "views": 1, "augmentation": _PLAIN},
    "SupCon": {**_COMMON, "loss": "supcon", "views": 2, "augmentation": _STRONG},
}


class Pictures(Dataset):
    """Images as PIL pictures, transformed one by one, `views` times, as most training scripts do it."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, views: int, strong: bool) -> None:
        tail = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
        plain = [transforms.RandomCrop(problems.FULL.shape, padding=4), transforms.RandomHorizontalFlip()]
        rich = [
            transforms.RandomResizedCrop(problems.FULL.shape, scale=(0.2, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
        ]
        self.pictures = [transforms.functional.to_pil_image(image.transpose(1, 2, 0)) for image in images]
        self.labels, self.views, self.transform = labels, views, transforms.Compose([*(rich if strong else plain), *tail])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        """Return the views of one image [view, channel, y, x] and its label."""
        return torch.stack([self.transform(self.pictures[place]) for _ in range(self.views)]), int(self.labels[place])


def _step(outputs: Callable[[], Tensor], labels: Tensor, optimiser: torch.optim.Optimizer, loss: Any) -> None:
    value = loss.definition(outputs().float(), labels, **loss.semantics["options"])
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    optimiser.step()


def _network(name: str, device: torch.device) -> tuple[Network, torch.optim.Optimizer]:
    network = problems.network_of(problems.FULL, device, LOSSES[RECIPES[name]["loss"]].semantics["top"]).train()
    return network, torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)


def compare_recipe(setting: Setting, name: str, compiled: bool = False) -> Iterator[Comparison]:
    """Yield an epoch of ours beside fixed random tensors, and beside the usual recipe."""
    batch = 1024 if setting.device.type == "cuda" else BATCH
    n_batches = setting.size(20 if setting.device.type == "cuda" else 2)
    recipe = {**RECIPES[name], "batch_size": batch, "compile": compiled}
    views, loss, device = recipe["views"], LOSSES[recipe["loss"]], setting.device
    rng = np.random.default_rng(problems.SEED)
    pixels = rng.integers(0, 256, (n_batches * batch, 3, *problems.FULL.shape), dtype=np.uint8)
    classes = rng.integers(0, problems.N_CLASSES, len(pixels))
    store, labels = ImageStore(pixels, np.arange(len(pixels)), device), torch.from_numpy(classes).to(device)
    network, optimiser = _network(name, device)
    fixed = torch.rand(views * batch, *pixels.shape[1:], device=device).contiguous(memory_format=torch.channels_last)
    fixed_labels = labels[:batch].repeat(views)
    outputs = torch.compile(network.outputs) if compiled else network.outputs

    def ours() -> None:
        train_epoch(network, optimiser, store, labels, recipe, problems.SEED, 1, n_batches)

    def passes() -> None:
        for _ in range(n_batches):
            with autocast(device, recipe["precision"]):
                _step(lambda: outputs(fixed), fixed_labels, optimiser, loss)

    floor = by_turns({"ours": ours, "peer": passes}, setting)
    n_images = n_batches * batch
    suffix = ", compiled" if compiled else ""
    yield Comparison(
        name=f"training epoch, {name}, width 64, 32x32x3{suffix}",
        against="forward + backward + step on fixed tensors",
        **floor,
        at_most=1.10,
        note=f"{n_images} images, batch {batch}, {views} view(s), augmentation included, float32",
        facts={f"images per second, {who}": n_images / float(np.median(seconds)) for who, seconds in floor.items()},
    )
    if not compiled:
        yield _against_usual(setting, name, ours, pixels, classes, batch)


def _against_usual(
    setting: Setting, name: str, ours: Callable[[], None], pixels: np.ndarray, classes: np.ndarray, batch: int
) -> Comparison:
    recipe, device = RECIPES[name], setting.device
    network, optimiser = _network(name, device)
    network, loss = network.to(memory_format=torch.contiguous_format), LOSSES[recipe["loss"]]
    pictures = Pictures(pixels, classes, recipe["views"], strong=name == "SupCon")
    loader = DataLoader(pictures, batch, shuffle=True, num_workers=setting.threads, persistent_workers=True, drop_last=True)

    def usual() -> None:
        for images, labels in loader:
            inputs, targets = images.transpose(0, 1).flatten(0, 1).to(device), labels.to(device).repeat(recipe["views"])
            _step(lambda inputs=inputs: network.top(network.backbone(inputs)), targets, optimiser, loss)

    return Comparison(
        name=f"training epoch, {name}, width 64, 32x32x3",
        against=f"torchvision transforms on PIL, DataLoader with {setting.threads} workers, float32",
        **by_turns({"ours": ours, "peer": usual}, setting),
        at_least=1.5,
        note=f"{len(pixels)} images, batch {batch}",
    )


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons of training."""
    for name in RECIPES:
        yield from compare_recipe(setting, name)
        if setting.device.type == "cuda":
            yield from compare_recipe(setting, name, compiled=True)
