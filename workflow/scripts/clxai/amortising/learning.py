"""Training of one explainer: a recipe, a seed, the mask banks of training images and of validation images.

The epoch is kept whose values agree best with the masks of the validation images. The images that are explained play no part.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import xarray
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from clxai.amortising.lessons import Batch, Lessons, digest_of, lessons_of
from clxai.amortising.network import Explainer, Form, build_explainer
from clxai.amortising.objectives import least_squares, local, pattern, removal_correlation
from clxai.amortising.recipes import OBJECTIVES, check_recipe
from clxai.amortising.schedules import weights_of
from clxai.data.datasets import ImageData
from clxai.errors import ClxaiError
from clxai.mask_bank.sizes import BERNOULLI, GROUP, LAWS, SHAPLEY
from clxai.randomness import generator
from clxai.runtime.memory import at_once
from clxai.training.rates import learning_rate
from clxai.training.resuming import SideFile, follow, row_in_words

HISTORY = ("epoch", "loss", *OBJECTIVES, *(f"{name}_weight" for name in OBJECTIVES), "learning_rate", "val_correlation")
_WARMUP = 1  # epochs in which the learning rate rises
_LONGEST = 1.0  # the longest gradient: correlations of values near 0 have long ones


@dataclass
class Learning:
    """The result of a training: the kept explainer, its epoch and validation correlation, and one row per epoch.

    `val_accuracy` is what `resuming` calls the number by which an epoch is kept, here that correlation. `start` tells what was
    learnt from.
    """

    network: Explainer
    recipe: Mapping[str, Any]
    seed: int
    start: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = 0
    val_accuracy: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return what was trained and which epoch was kept, for the JSON record."""
        n_parameters = sum(parameter.numel() for parameter in self.network.parameters())
        kept = {"epoch": self.epoch, "val_correlation": self.val_accuracy, "final_loss": self.history[-1]["loss"]}
        return {**self.recipe, **self.start, **kept, "seed": self.seed, "n_parameters": n_parameters}


def form_of(data: ImageData, lessons: Lessons, recipe: Mapping[str, Any]) -> Form:
    """Return the form of an explainer for the images, heads and units of some lessons."""
    return Form(
        shape=tuple(data.images.shape[1:]),
        mean=tuple(map(float, data.mean)),
        std=tuple(map(float, data.std)),
        heads=lessons.heads,
        n_classes=lessons.log_odds.shape[3],
        places=lessons.places,
        width=recipe["width"],
        depth=recipe["depth"],
    )


def learn(
    data: ImageData,
    bank: xarray.Dataset,
    validation: xarray.Dataset,
    pool: xarray.Dataset | None,
    settings: Mapping[str, Any],
    device: torch.device,
    side: SideFile | None = None,
) -> Learning:
    """Train an explainer as its job does: on the mask bank of training images, judged on that of validation images.

    `settings`: recipe and seed. Raises ClxaiError if the images are of other splits.
    """
    lessons, checks = lessons_of(data, bank, device, "train", pool), lessons_of(data, validation, device, "val")
    print(f"{len(lessons.store)} images, {len(checks.store)} to validate, heads {', '.join(lessons.heads)}", flush=True)
    start = {"learnt_from": digest_of(bank, validation, *([] if pool is None else [pool]))}
    return train_explainer(data, lessons, checks, settings["recipe"], settings["seed"], start, side)


def train_explainer(
    data: ImageData,
    lessons: Lessons,
    checks: Lessons,
    recipe: Mapping[str, Any],
    seed: int,
    start: Mapping[str, Any] | None = None,
    side: SideFile | None = None,
) -> Learning:
    """Train an explainer on some lessons and return the epoch that is best on the checks (the later one of a tie).

    With a side file it goes on where an interrupted training stopped. Raises ClxaiError if the loss is not finite, and if the
    lessons lack what the recipe trains on.
    """
    check_recipe(recipe, "recipe", lessons.taught is not None)
    device = lessons.packed.device
    explainer = build_explainer(form_of(data, lessons, recipe), lessons.scale.cpu(), seed).to(device)
    optimiser = torch.optim.AdamW(explainer.parameters(), recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    result, n_epochs = Learning(explainer, recipe, seed, start or {}), recipe["epochs"]
    progress = follow(side, data, device, explainer, optimiser, result)
    done = progress.resume()
    bar = {"desc": "training explainer", "unit": "epoch", "mininterval": 1, "initial": done, "total": n_epochs}
    for epoch in tqdm(range(done + 1, n_epochs + 1), **bar):
        weights = weights_of(recipe, result.history)
        losses = learn_epoch(explainer, optimiser, lessons, recipe, seed, epoch, weights)
        loss = sum(weights[name] * losses[name] for name in OBJECTIVES if weights[name])
        if not math.isfinite(loss):
            raise ClxaiError(f"the loss is {loss} in epoch {epoch} of {n_epochs}: lower learning_rate{progress.kept()}")
        row = {"epoch": epoch, "loss": loss, **losses, **{f"{name}_weight": value for name, value in weights.items()}}
        row |= {"learning_rate": optimiser.param_groups[0]["lr"], "val_correlation": agreement(explainer, checks)}
        if row["val_correlation"] >= result.val_accuracy:
            result.network, result.epoch, result.val_accuracy = copy.deepcopy(explainer), epoch, row["val_correlation"]
        result.history.append(row)
        print(row_in_words(row), flush=True)
        progress.save(epoch)
    result.network.eval().requires_grad_(False)
    return result


def learn_epoch(
    explainer: Explainer,
    optimiser: torch.optim.Optimizer,
    lessons: Lessons,
    recipe: Mapping[str, Any],
    seed: int,
    epoch: int,
    weights: Mapping[str, float],
) -> dict[str, float]:
    """Run one epoch and return the mean of each objective; those that do not count are not computed, and NaN."""
    batch_size = min(recipe["batch_size"], len(lessons.store))
    n_batches = len(lessons.store) // batch_size
    order = torch.randperm(len(lessons.store), generator=generator("explainer order", seed, epoch))
    totals = dict.fromkeys(OBJECTIVES, torch.zeros((), device=lessons.packed.device))
    for step, positions in enumerate(order[: n_batches * batch_size].split(batch_size)):
        for group in optimiser.param_groups:
            group["lr"] = _rate(recipe, epoch - 1 + step / n_batches)
        batch = lessons.batch(positions.to(lessons.store.home), _masks(lessons, recipe["masks"], seed, epoch, step))
        losses = objectives(explainer, batch, weights)
        optimiser.zero_grad(set_to_none=True)
        sum(weights[name] * value for name, value in losses.items()).backward()
        torch.nn.utils.clip_grad_norm_(explainer.parameters(), _LONGEST)
        optimiser.step()
        for name, value in losses.items():
            totals[name] = totals[name] + value.detach()
    return {name: float(totals[name] / n_batches) if weights[name] else math.nan for name in OBJECTIVES}


def objectives(explainer: Explainer, batch: Batch, weights: Mapping[str, float]) -> dict[str, Float[Tensor, ""]]:
    """Return each objective that counts, for one batch: masks of both laws come in halves, the Shapley kernel's first."""
    values, scale = explainer(batch.images, batch.labels, batch.n_units), explainer.scale
    half, found = batch.present.shape[1] // 2, {}
    if weights["least_squares"]:
        ends = batch.whole, batch.empty
        found["least_squares"] = least_squares(values, batch.present[:, :half], batch.worth[:, :half], ends, batch.there, scale)
    if not (weights["pattern"] or weights["local"]):
        return found
    own = _of_targets(batch, values / scale[:, None])
    if weights["local"]:
        found["local"] = local(own, batch.present[:, half:], _drops(batch)[:, half:] / scale)
    if weights["pattern"]:
        found["pattern"] = pattern(own, batch.taught.values, batch.taught.share, batch.there)
    return found


@torch.no_grad()
def agreement(explainer: Explainer, checks: Lessons) -> float:
    """Return the mean correlation of removed values with drops, over all drawn masks, of the classes that the heads predict.

    Free of scale, so that recipes of any mixture are kept by the same measure.
    """
    explainer.eval()
    masks, found = checks.masks_of(*LAWS), []
    for positions in torch.arange(len(checks.store)).split(at_once("copies", checks.store.images.shape)):
        batch = checks.batch(positions.to(checks.store.home), masks)
        own = _of_targets(batch, explainer(batch.images, batch.labels, batch.n_units) / explainer.scale[:, None])
        found.append(removal_correlation(own, batch.present, _drops(batch) / explainer.scale).mean(dim=1))
    explainer.train()
    return float(torch.cat(found).mean())


def _of_targets(batch: Batch, values: Float[Tensor, "image unit head class"]) -> Float[Tensor, "image head unit"]:
    """Return the values for the class that each head predicts."""
    target = batch.target[:, None, :, None].expand(-1, values.shape[1], -1, 1)
    return values.gather(3, target).squeeze(3).mT


def _drops(batch: Batch) -> Float[Tensor, "image mask head"]:
    """Return what the log-odds of the predicted classes lose under each mask."""
    lost = batch.whole[:, None] - batch.worth
    return lost.gather(3, batch.target[:, None, :, None].expand(-1, lost.shape[1], -1, 1)).squeeze(3)


def _masks(lessons: Lessons, most: int, seed: int, epoch: int, step: int) -> Tensor:
    """Draw the masks of a step: pairs of complements of either law, at most `most` masks, as many as are there to fit.

    Each image has masks of its own, drawn independently: the same numbers do for all images of a batch.
    """
    chosen = []
    for law in (SHAPLEY, BERNOULLI):
        pairs = lessons.masks_of(law, held_out=False).view(-1, 2)
        order = torch.randperm(len(pairs), generator=generator("explainer masks", law, seed, epoch, step))
        chosen.append(pairs[order[: max(1, most // GROUP)]].flatten())
    return torch.cat(chosen)


def _rate(recipe: Mapping[str, Any], progress: float) -> float:
    """Return the learning rate after `progress` epochs: a linear rise, then a cosine to 0."""
    epochs = recipe["epochs"]
    rising = {"warmup_epochs": min(_WARMUP, epochs / 2), "epochs": epochs, "schedule": "cosine"}
    return learning_rate({"learning_rate": recipe["learning_rate"], **rising}, progress)
