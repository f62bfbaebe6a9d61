"""The curves artefact: one flipping job's quantities with named axes, and the meaning of each as attributes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.flipping.engine import Flipping, Observer, Place, flip
from clxai.flipping.precision import check_precision
from clxai.names import ORDERS
from clxai.networks.inference import prepare_for_flipping
from clxai.runs import Run
from clxai.runtime.memory import chosen_batch
from clxai.units.base import check_unit, rank_units, removal_counts, tie_fraction, unit_scores

PATH = ("explained_by", "fill", "order", "image", "step")
SCORED = ("explained_by", "scored_by", "fill", "order", "image", "step")
_MEANING = {
    "probability": (SCORED, "1", "softmax probability of the target at temperature 1"),
    "probability_matched": (SCORED, "1", "the same at the head's fitted temperature"),
    "probability_matched_low": (SCORED, "1", "the same at the lower end of the temperature's interval"),
    "probability_matched_high": (SCORED, "1", "the same at the upper end of the temperature's interval"),
    "log_odds": (SCORED, "nat", "score of the target minus logsumexp of the others"),
    "prediction": (SCORED, "class", "predicted class"),
    "drift_l2": (PATH, "embedding", "Euclidean distance to the clean embedding"),
    "drift_cosine": (PATH, "1", "1 - cosine with the clean embedding"),
    "bank_distance": (PATH, "1", "distance to the k-th nearest training embedding, unit sphere"),
    "centroid_distance": (PATH, "embedding", "distance to the centroid of the explaining head's target"),
    "step_length": (PATH, "embedding", "distance to the embedding one step before"),
    "acceleration": (PATH, "embedding", "norm of the second divided difference against the removed fraction"),
}
BANK_K = 10  # the neighbour whose distance counts, unless flipping.bank_k says
# Relative difference allowed between the stored clean embedding, float32, and the one met while flipping.
CLEAN_TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}


def observer_of(run: Run, bank_k: int | None) -> Observer:
    """Return what is read off a perturbed embedding of a run. Raises ClxaiError if bank_k exceeds the training bank.

    Without bank_k it is BANK_K, or the number of training images where there are fewer.
    """
    bank, labels = run.training_bank()
    bank_k = min(BANK_K, len(bank)) if bank_k is None else bank_k
    if bank_k > len(bank):
        raise ClxaiError(f"flipping.bank_k must be at most the {len(bank)} training images. Got {bank_k}")
    return Observer(
        heads=run.heads,
        targets=torch.stack([head.predict(run.embeddings) for head in run.heads.values()]),
        centroids=class_centroids(bank, labels, run.data.n_classes),
        bank=functional.normalize(bank, dim=1),
        bank_k=bank_k,
    )


def flip_curves(run: Run, attributions: xarray.Dataset, settings: Mapping[str, Any]) -> xarray.Dataset:
    """Flip every explanation of one attribution file and return the curves with their axes.

    The forward passes must agree with the stored clean embeddings. A method that does not depend on the head is flipped once
    and repeated along `explained_by`.

    Raises ClxaiError if the embeddings do not belong to the model, if the file explains other heads, or if units or steps do
    not fit the image size.
    """
    run = run.at(attributions["image"].values)
    check_heads(list(run.heads), attributions)
    images, embeddings, observer = run.images, run.embeddings, observer_of(run, settings["bank_k"])
    check_unit(images.shape[-1], settings["unit_px"])
    maps = torch.from_numpy(attributions["attribution"].values).to(images.device)
    maps = maps if attributions.attrs["per_head"] else maps[:1]
    scores = unit_scores(maps, settings["unit_px"])
    ranked = [rank_units(explained, run.index, settings["seed"]) for explained in scores]
    plan = Flipping(
        fills=tuple(settings["fills"]),
        counts=removal_counts(scores.shape[-1], settings["steps"]),
        unit_px=settings["unit_px"],
        seed=settings["seed"],
        batch_size=chosen_batch(settings["batch_size"], run.encoder.bytes_per_image(), images.device),
        precision=settings["precision"],
    )
    ranks = torch.stack([rank for rank, _ in ranked])
    check_precision(run.encoder, observer, images, run.index, ranks, plan)
    prepare_for_flipping(run.encoder.backbone, plan.precision)
    arrays = _Collected(observer, len(maps), len(images), plan, settings["trajectories"])
    for place, quantities, path in flip(run.encoder, observer, images, run.index, ranks, plan):
        if place[:3] == (0, 0, 0):
            check_clean(path[:, 0], embeddings[place[3]], CLEAN_TOLERANCE[plan.precision])
        arrays.add(place, quantities, path)
    ties = torch.stack([tie_fraction(explained) for explained in scores])
    degenerate = torch.stack([flag for _, flag in ranked])
    return _labelled(arrays, observer, attributions, plan, ties, degenerate)


def check_clean(met: Tensor, stored: Tensor, tolerance: float) -> None:
    """Raise ClxaiError if the clean embeddings met while flipping are not the stored ones."""
    difference = float((met - stored).norm(dim=1).max() / stored.norm(dim=1).max())
    if difference > tolerance:
        raise ClxaiError(
            f"the clean embeddings differ from embeddings.nc by {difference:.2g} (allowed {tolerance}): "
            "model and embeddings do not belong together"
        )


class _Collected:
    """Preallocated arrays on the device, filled piece by piece as the engine yields, so that it never waits for a copy."""

    def __init__(self, observer: Observer, n_explained: int, n_images: int, plan: Flipping, n_trajectories: int) -> None:
        n_heads, n_steps, n_features = len(observer.heads), len(plan.counts), observer.bank.shape[1]
        path = (n_explained, len(plan.fills), len(ORDERS), n_images, n_steps)
        self.n_trajectories = min(n_trajectories, n_images)
        self.values: dict[str, Tensor] = {}
        for name, (axes, _, _) in _MEANING.items():
            shape = (n_explained, n_heads, *path[1:]) if axes == SCORED else path
            if name == "centroid_distance":
                shape = (n_heads, *path[1:])
            kind = torch.int16 if name == "prediction" else torch.float32
            self.values[name] = torch.zeros(shape, dtype=kind, device=observer.bank.device)
        self.trajectory = observer.bank.new_zeros(*path[:3], self.n_trajectories, n_steps, n_features)

    def add(self, place: Place, quantities: Mapping[str, Tensor], path: Tensor) -> None:
        explained, fill, order, group = place
        for name, value in quantities.items():
            if name == "centroid_distance":  # one target class per head, whoever explained
                owners = slice(None) if len(self.trajectory) == 1 else slice(explained, explained + 1)
                self.values[name][owners, fill, order, group] = value[owners]
            elif _MEANING[name][0] == SCORED:
                self.values[name][explained, :, fill, order, group] = value.to(self.values[name].dtype)
            else:
                self.values[name][explained, fill, order, group] = value
        kept = path[: max(0, self.n_trajectories - group.start)]
        self.trajectory[explained, fill, order, group.start : group.start + len(kept)] = kept

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything in main memory."""
        return {name: value.cpu().numpy() for name, value in {**self.values, "trajectory_embedding": self.trajectory}.items()}


def _labelled(
    collected: _Collected, observer: Observer, attributions: xarray.Dataset, plan: Flipping, ties: Tensor, degenerate: Tensor
) -> xarray.Dataset:
    heads = list(observer.heads)
    n_heads = len(heads)

    def along_heads(array: np.ndarray) -> np.ndarray:
        return array if len(array) == n_heads else np.broadcast_to(array, (n_heads, *array.shape[1:]))

    arrays = collected.arrays()
    variables: dict[str, Any] = {
        name: (axes, along_heads(arrays[name]), {"units": units, "description": text})
        for name, (axes, units, text) in _MEANING.items()
    }
    axes = ("explained_by", "fill", "order", "trajectory", "step", "feature")
    variables["trajectory_embedding"] = (axes, along_heads(arrays["trajectory_embedding"]))
    variables["tie_fraction"] = (("explained_by", "image"), along_heads(ties.cpu().numpy()))
    variables["degenerate"] = (("explained_by", "image"), along_heads(degenerate.cpu().numpy().astype(np.int8)))
    variables["target"] = (("scored_by", "image"), observer.targets.cpu().numpy().astype(np.int16))
    image = attributions["image"].values
    return xarray.Dataset(
        variables,
        coords={
            "explained_by": heads,
            "scored_by": heads,
            "fill": list(plan.fills),
            "order": list(ORDERS),
            "image": image,
            "step": np.arange(len(plan.counts)),
            "fraction": ("step", (plan.counts.double() / plan.counts[-1]).numpy(), {"units": "1", "description": "removed"}),
            "trajectory": image[: collected.n_trajectories],
        },
        attrs={
            "method": attributions.attrs["method"],
            "unit_px": plan.unit_px,
            "bank_k": observer.bank_k,
            "seed": plan.seed,
            "precision": plan.precision,
            "centroid_spread": centroid_spread(observer.centroids),
        },
    )


def centroid_spread(centroids: Tensor) -> float:
    """Return the mean distance between two class centroids: the scale by which drifts of different models are compared."""
    return float(torch.pdist(centroids.double()).mean())


def class_centroids(embeddings: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return the mean raw embedding of each class [class, feature]."""
    membership = functional.one_hot(labels, n_classes).to(embeddings.dtype)
    return membership.T @ embeddings / membership.sum(0)[:, None]


def check_heads(heads: Sequence[str], attributions: xarray.Dataset) -> None:
    """Raise ClxaiError unless an attribution file was made for these heads."""
    found = attributions["head"].values.tolist()
    if found != list(heads):
        raise ClxaiError(f"the attributions explain heads {found}, the study has {list(heads)}")
