"""Training of one model: a recipe, a seed, a data set. The test split plays no part.

The last epoch is kept, or by `keep: best` the epoch that is best on the validation split. The rule is the same for all losses, so
that the loss and the way a checkpoint is chosen are not confounded.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from clxai.data.batches import ImageStore
from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.losses.base import LOSSES
from clxai.names import NO_LOSS
from clxai.networks.architecture import Architecture
from clxai.networks.base import NETWORKS
from clxai.networks.embeddings import embed
from clxai.networks.foreign import is_outside
from clxai.networks.inference import Encoder
from clxai.networks.models import Network
from clxai.networks.neighbours import search, vote_accuracy
from clxai.networks.outside import PROBED, check_behaviour
from clxai.randomness import generator
from clxai.runtime.devices import autocast
from clxai.training.augmentation import augment
from clxai.training.labels import label_record, labels_of
from clxai.training.masking import Masking, masking_of
from clxai.training.rates import learning_rate
from clxai.training.resuming import SideFile, follow, row_in_words
from clxai.training.starting import start_from

SELECTION_K = 10  # neighbours of the vote on validation images
HISTORY = ("epoch", "loss", "learning_rate", "val_accuracy")  # columns of the history, one row per epoch


@dataclass
class Training:
    """The result of a training: the kept network, its epoch and validation accuracy, and one row per epoch.

    `start` is the record of what was taken over from another model, see `starting`, and of labels that were not the given ones.
    """

    network: Network
    epoch: int = 0
    val_accuracy: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    start: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return what was trained and which epoch was kept, for the JSON record."""
        return {
            **self.recipe,
            **self.start,
            "seed": self.seed,
            "epoch": self.epoch,
            "val_accuracy": self.val_accuracy,
            "final_loss": self.history[-1]["loss"] if self.history else None,
            "n_parameters": sum(parameter.numel() for parameter in self.network.parameters()),
        }


def build_network(data: ImageData, recipe: Mapping[str, Any], seed: int) -> Network:
    """Build the network of a recipe; the backbone's first weights depend on the seed alone, not on the loss."""
    architecture = Architecture(
        network=recipe["network"],
        options=recipe["network_options"],
        shape=tuple(data.images.shape[2:]),
        mean=data.mean,
        std=data.std,
        n_classes=data.n_classes,
        top="nothing" if recipe["loss"] == NO_LOSS else LOSSES[recipe["loss"]].semantics["top"],
        projection_size=recipe["projection_size"],
        normalise=_normalised_by(recipe),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_of("weights", seed))
        return Network(architecture)


def _normalised_by(recipe: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std by which images are normalised, of the recipe, else as the network declares; None: the data's own."""
    given = recipe.get("normalise") or NETWORKS[recipe["network"]].semantics["normalise"]
    return None if given is None else tuple(tuple(map(float, values)) for values in given)


def train(
    data: ImageData,
    recipe: Mapping[str, Any],
    seed: int,
    device: torch.device,
    side: SideFile | None = None,
    start: str | Path | None = None,
) -> Training:
    """Train a recipe on the train split and return the last epoch, or the best on validation (the later one of a tie).

    With a side file it goes on where an interrupted training stopped. `start` is the checkpoint of the model whose weights the
    network starts from, or the user's file that the recipe calls `weights`; a recipe of 0 epochs returns that network, validated.
    Raises ClxaiError if the loss is not finite, naming the epoch and the state that is kept, and if a network from outside cannot
    keep the contract.
    """
    network = build_network(data, recipe, seed)
    brought = bool(recipe.get("weights"))
    taken_over = start_from(network, start, recipe["randomise"], seed, brought)
    network.to(device, memory_format=network.backbone.layout)
    train_store = ImageStore(data.images, data.indices("train"), device)
    if brought or is_outside(recipe["network"]):
        check_behaviour(network, train_store.take(torch.arange(min(len(train_store), PROBED))))
    given = data.labels[train_store.indices]
    learnt = labels_of(given, recipe, seed)
    labels = torch.from_numpy(learnt).to(device)
    taken_over |= label_record(given, learnt)
    result, n_epochs = Training(network, recipe=recipe, seed=seed, start=taken_over), recipe["epochs"]
    if n_epochs == 0:
        result.val_accuracy = validation_accuracy(network, data, train_store, labels, device)
        return result
    masking = masking_of(recipe.get("masks"), train_store, network.mean, seed)
    optimiser = _optimiser(network, recipe)
    n_batches = batches_per_epoch(len(train_store), recipe["batch_size"])
    progress = follow(side, data, device, network, optimiser, result)
    done = progress.resume()
    bar = {"desc": f"training {recipe['loss']}", "unit": "epoch", "mininterval": 1, "initial": done, "total": n_epochs}
    for epoch in tqdm(range(done + 1, n_epochs + 1), **bar):
        mean_loss = train_epoch(network, optimiser, train_store, labels, recipe, seed, epoch, n_batches, masking)
        if not math.isfinite(mean_loss):
            raise ClxaiError(f"the loss is {mean_loss} in epoch {epoch} of {n_epochs}: lower learning_rate{progress.kept()}")
        row = {"epoch": epoch, "loss": mean_loss, "learning_rate": optimiser.param_groups[0]["lr"], "val_accuracy": math.nan}
        if epoch % recipe["validate_every"] == 0 or epoch == n_epochs:
            row["val_accuracy"] = validation_accuracy(network, data, train_store, labels, device)
        _keep(result, network, row)
        result.history.append(row)
        print(row_in_words(row), flush=True)
        progress.save(epoch)
    if learnt is not given:
        result.start = {**result.start, "memorised": memorised(result.network, train_store, labels)}
    return result


def memorised(network: Network, store: ImageStore, labels: Tensor) -> float:
    """Return the share of training images, not augmented, whose label the network's classifier gives, in [0, 1].

    Without a classifier: whose label is that of the nearest other training image by cosine.
    """
    encoder = Encoder(network)
    embeddings = embed(encoder, store)
    if encoder.classifier is not None:
        with torch.no_grad():
            return float((encoder.classifier(embeddings).argmax(dim=1) == labels).double().mean())
    points = torch.nn.functional.normalize(embeddings, dim=1)
    nearest = search(points, points, 2)[1]
    own = nearest[:, 0] == torch.arange(len(nearest), device=nearest.device)
    return float((labels[nearest[:, 0].where(~own, nearest[:, 1])] == labels).double().mean())


def _keep(result: Training, network: Network, row: Mapping[str, float | int]) -> None:
    """Put the network of an epoch into the result: always (`keep: last`), or a copy if validation found none better."""
    if result.recipe["keep"] == "last":
        result.network = network
    elif row["val_accuracy"] >= result.val_accuracy:  # never where it was not validated
        result.network = copy.deepcopy(network)
    else:
        return
    result.epoch, result.val_accuracy = int(row["epoch"]), row["val_accuracy"]


def batches_per_epoch(n_images: int, batch_size: int) -> int:
    """Return the number of full batches; the remainder of each epoch's order is left out, so that all batches are equal."""
    if batch_size > n_images:
        raise ClxaiError(f"batch_size must be at most the {n_images} training images. Got {batch_size}")
    return n_images // batch_size


def validation_accuracy(
    network: Network, data: ImageData, train_store: ImageStore, labels: Tensor, device: torch.device
) -> float:
    """Return the accuracy on the validation split: of the k nearest un-augmented training embeddings, in 0..1.

    If the network has a classification layer of its own and that is worse, its accuracy: both shall be trained.
    """
    val = data.indices("val")
    encoder = Encoder(network)
    bank, queries = embed(encoder, train_store), embed(encoder, ImageStore(data.images, val, device))
    val_labels = torch.from_numpy(data.labels[val]).to(device)
    vote = vote_accuracy(queries, val_labels, bank, labels, min(SELECTION_K, len(bank)))
    if encoder.classifier is None:
        return vote
    with torch.no_grad():
        own = encoder.classifier(queries).argmax(dim=1)
    return min(vote, float((own == val_labels).double().mean()))


def _optimiser(network: nn.Module, recipe: Mapping[str, Any]) -> torch.optim.Optimizer:
    rate, decay = recipe["learning_rate"], recipe["weight_decay"]
    if recipe["optimiser"] == "adamw":
        return torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    momentum = recipe["momentum"]
    return torch.optim.SGD(network.parameters(), rate, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)


def _order(n_images: int, batch_size: int, n_batches: int, seed: int, epoch: int) -> Tensor:
    """Return the positions of an epoch [batch, image]."""
    order = torch.randperm(n_images, generator=generator("order", seed, epoch))
    return order[: n_batches * batch_size].unflatten(0, (n_batches, batch_size))


def train_epoch(
    network: Network,
    optimiser: torch.optim.Optimizer,
    store: ImageStore,
    labels: Tensor,
    recipe: Mapping[str, Any],
    seed: int,
    epoch: int,
    n_batches: int,
    masking: Masking | None = None,
) -> float:
    """Run one epoch and return its mean loss; where the images are resident the host waits for the device only at its end."""
    network.train()
    loss = LOSSES[recipe["loss"]]
    views = recipe["views"] or loss.semantics["views"]
    options = loss.options(recipe["loss_options"])
    draws = generator("augmentation", seed, epoch, device=store.device)
    forward = torch.compile(network.outputs) if recipe["compile"] else network.outputs
    total = torch.zeros((), device=store.device)
    order = _order(len(store), recipe["batch_size"], n_batches, seed, epoch)
    epoch_labels = labels[order.to(store.device)]
    for step, positions in enumerate(order.to(store.home)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, epoch - 1 + step / n_batches)
        clean = store.take(positions)
        images = torch.cat([augment(clean, recipe["augmentation"], draws) for _ in range(views)])
        images = masking.mask(images, positions, epoch, step) if masking else images
        targets = epoch_labels[step].repeat(views)
        with autocast(store.device, recipe["precision"]):
            outputs = forward(images)
        value = loss.definition(outputs.float(), targets, **options)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        total += value.detach()
    return float(total / n_batches)
