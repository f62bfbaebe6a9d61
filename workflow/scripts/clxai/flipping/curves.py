"""The curves artefact: one flipping job's quantities with the axes and meanings of `schema`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray
from torch import Tensor
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.fills.base import Bank, fills_of
from clxai.flipping.density import Density
from clxai.flipping.engine import Flipping, Place, flip
from clxai.flipping.observing import Observer
from clxai.flipping.precision import check_precision
from clxai.flipping.schema import CLEAN_SHARE, LIMITED, OWNED, QUANTITIES, RANKING, SCORED, TRAJECTORY, UNIT
from clxai.heads.base import log_odds
from clxai.names import ORDERS
from clxai.networks.embeddings import class_means
from clxai.networks.inference import prepared_for_flipping
from clxai.runs import Run
from clxai.runtime.memory import chosen_batch
from clxai.units.base import Cut, count_of, cut_images
from clxai.units.removal import rank_units, removal_counts, tie_fraction

BANK_K = 10  # the neighbour whose distance counts, unless flipping.bank_k says
CLEAN_IMAGES = 1000  # test images that say how far a clean image may lie from the training ones
# Relative difference allowed between the stored clean embedding, float32, and the one met while flipping.
CLEAN_TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}

RECORDED_TOLERANCE = 1e-2  # absolute and relative difference allowed between the log-odds that were explained and those flipped


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
        centroids=class_means(bank, labels, run.data.n_classes),
        mean=bank.mean(dim=0),
        bank=functional.normalize(bank, dim=1),
        bank_k=bank_k,
        density=Density.of(bank, labels, run.data.n_classes),
        projection=run.encoder.projection,
    )


def clean_limits(run: Run, observer: Observer) -> dict[str, float]:
    """Return what 95 % of the clean test images do not exceed, as attributes: of each distance, NaN where it is not defined.

    At most 1000 test images, evenly spaced. Beyond it an embedding counts as off the manifold.
    """
    members = torch.from_numpy(run.data.indices("test")).to(run.all_embeddings.device)
    chosen = torch.linspace(0, len(members) - 1, min(len(members), CLEAN_IMAGES), device=members.device).round().long()
    found = observer.distances(run.all_embeddings[members[chosen]])
    return {f"clean_{name}": float(found[name].double().quantile(CLEAN_SHARE)) for name in LIMITED}


def flip_curves(run: Run, attributions: xarray.Dataset, settings: Mapping[str, Any]) -> xarray.Dataset:
    """Flip every explanation of one attribution file and return the curves with their axes.

    The forward passes must agree with the stored clean embeddings. A method that does not depend on the head is flipped once
    and repeated along `explained_by`. The run's encoder stays as it is.

    Raises ClxaiError if the embeddings do not belong to the model, if the file explains other heads, or if units or steps do
    not fit the images.
    """
    run = run.at(attributions["image"].values)
    check_heads(list(run.heads), attributions)
    images, embeddings, observer = run.images, run.embeddings, observer_of(run, settings["bank_k"])
    plan = plan_of(run, images, settings)
    maps = torch.from_numpy(attributions["attribution"].values).to(images.device)
    ranking = _Ranking.of(maps if attributions.attrs["per_head"] else maps[:1], run.index, plan)
    check_precision(run.encoder, observer, images, run.index, ranking.rank, plan)
    arrays = _Collected(observer, len(ranking.rank), len(images), plan, settings["trajectories"])
    encoder = prepared_for_flipping(run.encoder, plan.precision)
    for place, quantities, path in flip(encoder, observer, images, run.index, ranking.rank, plan):
        if place[:3] == (0, 0, 0):
            check_clean(path[:, 0], embeddings[place[3]], CLEAN_TOLERANCE[plan.precision])
        arrays.add(place, quantities, path)
    check_explained(run, attributions)  # after the embeddings were found to be the network's own
    return _labelled(arrays, observer, attributions, plan, ranking).assign_attrs(
        {**_units_record(settings["units"]), **clean_limits(run, observer)}
    )


def plan_of(run: Run, images: Tensor, settings: Mapping[str, Any]) -> Flipping:
    """Return how the images of a run are perturbed. Raises ClxaiError if units or steps do not fit the images."""
    chosen = settings["units"]
    cut = cut_images(chosen["units"], chosen["options"], images)
    fills = fills_of(settings["fills"])
    return Flipping(
        fills=fills,
        cut=cut,
        counts=removal_counts(cut.n_units, settings["steps"], f"units.{chosen['name']}", count_of(chosen["units"])),
        seed=settings["seed"],
        batch_size=chosen_batch(settings["batch_size"], run.encoder.bytes_per_image(), images.device),
        precision=settings["precision"],
        bank=bank_of(run) if any(fill.sees_bank for fill in fills) else None,
    )


def bank_of(run: Run) -> Bank:
    """Return what a run knows of its training images, for fills that need it; the pictures stay where they are stored."""
    bank, labels = run.training_bank()
    items = torch.from_numpy(run.data.indices("train")).to(bank.device)
    return Bank.of(run.data.images, items, labels, bank, run.embeddings)


@dataclass(frozen=True)
class _Ranking:
    """Ranks of the units of every explanation [explained, image, unit], and [explained, image] what is known of the maps."""

    rank: Tensor
    degenerate: Tensor
    tie_fraction: Tensor

    @classmethod
    def of(cls, maps: Tensor, index: Tensor, plan: Flipping) -> "_Ranking":
        """Rank the units of maps [explained, image, y, x]."""
        n_units = plan.cut.units_of(torch.arange(len(index), device=index.device))
        scores = [plan.cut.scores(explained) for explained in maps]
        ranked = [rank_units(explained, index, plan.seed, n_units) for explained in scores]
        ties = [tie_fraction(explained, n_units) for explained in scores]
        return cls(torch.stack([rank for rank, _ in ranked]), torch.stack([flag for _, flag in ranked]), torch.stack(ties))


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
        n_heads, n_steps, n_features = len(observer.heads), plan.counts.shape[1], observer.bank.shape[1]
        path = (n_explained, len(plan.fills), len(ORDERS), n_images, n_steps)
        self.n_trajectories = min(n_trajectories, n_images)
        self.values: dict[str, Tensor] = {}
        for name, variable in QUANTITIES.items():
            shape = (n_explained, n_heads, *path[1:]) if variable.axes == SCORED else path
            if name in OWNED:
                shape = (n_heads, *path[1:])
            self.values[name] = torch.zeros(shape, dtype=getattr(torch, variable.dtype), device=observer.bank.device)
        self.trajectory = observer.bank.new_zeros(*path[:3], self.n_trajectories, n_steps, n_features)

    def add(self, place: Place, quantities: Mapping[str, Tensor], path: Tensor) -> None:
        explained, fill, order, group = place
        for name, value in quantities.items():
            if name in OWNED:  # one target class per head, whoever explained
                owners = slice(None) if len(self.trajectory) == 1 else slice(explained, explained + 1)
                self.values[name][owners, fill, order, group] = value[owners]
            elif QUANTITIES[name].axes == SCORED:
                self.values[name][explained, :, fill, order, group] = value.to(self.values[name].dtype)
            else:
                self.values[name][explained, fill, order, group] = value
        kept = path[: max(0, self.n_trajectories - group.start)]
        self.trajectory[explained, fill, order, group.start : group.start + len(kept)] = kept

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything in main memory."""
        return {name: value.cpu().numpy() for name, value in {**self.values, "trajectory_embedding": self.trajectory}.items()}


def _labelled(
    collected: _Collected, observer: Observer, attributions: xarray.Dataset, plan: Flipping, ranking: _Ranking
) -> xarray.Dataset:
    heads, image = list(observer.heads), attributions["image"].values
    everyone = torch.arange(len(image), device=plan.cut.n_units.device)
    values = {
        **collected.arrays(),
        "tie_fraction": ranking.tie_fraction.cpu().numpy(),
        "degenerate": ranking.degenerate.cpu().numpy(),
        "target": observer.targets.cpu().numpy(),
        "n_units": plan.cut.units_of(everyone).cpu().numpy(),
    }
    meaning = {**QUANTITIES, "trajectory_embedding": TRAJECTORY, **RANKING}
    variables: dict[str, Any] = {}
    for name, (axes, unit, text, dtype) in meaning.items():
        array = values[name].astype(dtype, copy=False)
        if axes[0] == "explained_by" and len(array) != len(heads):
            array = np.broadcast_to(array, (len(heads), *array.shape[1:]))
        variables[name] = (axes, array, {"units": unit, "description": text})
    variables[UNIT] = _label_map(plan.cut)
    return xarray.Dataset(
        variables,
        coords={
            "explained_by": heads,
            "scored_by": heads,
            "fill": [fill.name for fill in plan.fills],
            "order": list(ORDERS),
            "image": image,
            "step": np.arange(plan.counts.shape[1]),
            "fraction": ("step", plan.fraction.cpu().numpy(), {"units": "1", "description": "removed"}),
            "trajectory": image[: collected.n_trajectories],
        },
        attrs={
            "method": attributions.attrs["method"],
            "bank_k": observer.bank_k,
            "seed": plan.seed,
            "precision": plan.precision,
            "centroid_spread": centroid_spread(observer.centroids),
        },
    )


def _label_map(cut: Cut) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    """Return the label map as a variable: [y, x] where the images share one."""
    labels, attrs = cut.labels.cpu().numpy(), {"units": "1", "description": "unit of each pixel, from 0"}
    return (("y", "x"), labels[0], attrs) if len(labels) == 1 else (("image", "y", "x"), labels, attrs)


def _units_record(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return how images were cut, as attributes: the setting's name, the member behind it and its options."""
    options = {f"units_{name}": value for name, value in chosen["options"].items()}
    return {"units": chosen["name"], "units_member": chosen["units"], **options}


def centroid_spread(centroids: Tensor) -> float:
    """Return the mean distance between two class centroids: the scale by which drifts of different models are compared."""
    return float(torch.pdist(centroids.double()).mean())


def check_explained(run: Run, attributions: xarray.Dataset) -> None:
    """Raise ClxaiError unless an attribution file explains what these heads say of these images, by the log-odds it recorded.

    Another network's maps, or another head's under this one's name, would be flipped without a trace. A tenth of the images may
    differ: neighbours that tie are others on another device.
    """
    for name, head in run.heads.items():
        with torch.no_grad():
            scores, target = head.decide(run.embeddings)
        own, recorded = log_odds(scores, target).cpu().numpy(), attributions["log_odds"].sel(head=name).values
        apart = ~np.isclose(recorded, own, rtol=RECORDED_TOLERANCE, atol=RECORDED_TOLERANCE)
        if apart.mean() > 0.1:
            raise ClxaiError(
                f"head {name!r}: the attributions explain other log-odds of {apart.sum()} of {len(apart)} images than this head "
                "has: they are of another network or head; delete them and run again"
            )


def check_heads(heads: Sequence[str], attributions: xarray.Dataset) -> None:
    """Raise ClxaiError unless an attribution file was made for these heads."""
    found = attributions["head"].values.tolist()
    if found != list(heads):
        raise ClxaiError(f"the attributions explain heads {found}, the study has {list(heads)}")
