"""Activation patching: what a head says when part of a layer is exchanged, a cause where a map is an account."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clxai.analyses.activations import check_cut, layer_maps, layer_slopes
from clxai.analyses.base import Payload, View, analysis
from clxai.data.batches import ImageStore
from clxai.fills.base import Bank, fill_images
from clxai.heads.base import log_odds
from clxai.networks.replaying import embedded_from
from clxai.ranks import rank_correlation
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once

DIRECTIONS = ("denoising", "noising")


@analysis(
    "spatial_patching",
    payload="layer_effects",
    scope="local",
    families=("perturbation",),
    options={"layer": "last", "fill": None, "least_change": 0.1},
    gives={
        "recovered": {"axes": ("head", "direction", "image", "y", "x"), "unit": "1", "shown": "none"},
        "recovered_most": {"axes": ("head", "direction", "image"), "unit": "1"},
        "recovered_sum": {"axes": ("head", "direction", "image"), "unit": "1"},
        "change": {"axes": ("head", "image"), "unit": "nat"},
        "defined": {"axes": ("head", "image"), "unit": "1"},
    },
)
def spatial_patching(view: View, options: Mapping[str, Any]) -> Payload:
    """The share of the change of log-odds, from the filled to the clean image, that one place of a layer accounts for.

    Denoising puts the clean activations of a place into the run of the filled image, (m - m_filled) / (m_clean - m_filled);
    noising puts the filled ones into the clean run, (m_clean - m) / (m_clean - m_filled). They differ where places stand in for
    each other. Not defined where the change is less than `least_change` nat. All log-odds are those of the class predicted on the
    clean image; the layer is exchanged as it leaves its last module, in residual stages after the addition and the ReLU.
    """
    clean, filled = _both_runs(view, options["layer"])
    n, _, height, width = clean.shape
    places = torch.arange(height * width, device=clean.device)

    def patched(into: Tensor, out_of: Tensor) -> Float[Tensor, "head image place"]:
        def rows_of(image: Tensor, place: Tensor) -> Tensor:
            maps, kept = into[image].flatten(2), out_of[image].flatten(2)
            chosen = (place[:, None] == places)[:, None]
            return torch.where(chosen, kept, maps).unflatten(2, (height, width))

        return _log_odds_of(view, options["layer"], rows_of, n, len(places))

    both = torch.stack([clean, filled], dim=1)
    whole = _log_odds_of(view, options["layer"], lambda image, version: both[image, version], n, 2)
    change = whole[..., 0] - whole[..., 1]
    defined = change.abs() >= options["least_change"]
    scale = change.where(defined, torch.nan)[..., None]
    shares = [(patched(filled, clean) - whole[..., 1:]) / scale, (whole[..., :1] - patched(clean, filled)) / scale]
    found = torch.stack(shares, dim=1)
    values = {"recovered": found.unflatten(-1, (height, width)), "recovered_most": found.amax(-1), "recovered_sum": found.sum(-1)}
    return Payload({**values, "change": change, "defined": defined.double()}, {"direction": DIRECTIONS})


@analysis(
    "channel_patching",
    payload="layer_effects",
    scope="local",
    families=("perturbation",),
    seeding="keyed",
    options={"layer": "last", "pool": 200},
    at_most={"pool": "training_images"},
    gives={
        "importance": {"axes": ("head", "image", "channel"), "unit": "nat", "shown": "none"},
        "rank_agreement_grad_cam": {"axes": ("head", "image"), "unit": "1"},
        "rank_agreement_first_order": {"axes": ("head", "image"), "unit": "1"},
    },
)
def channel_patching(view: View, options: Mapping[str, Any]) -> Payload:
    """What the log-odds lose when a channel of a layer becomes its mean over `pool` training images, place by place.

    `rank_agreement_grad_cam` is Spearman's correlation of that over channels with Grad-CAM's weights, the spatial means of the
    slopes; `rank_agreement_first_order` that with the first-order estimate, sum of slope times (activation - mean).
    """
    layer, run = options["layer"], view.run
    clean, mean = _maps(view, run.images, layer), _mean_maps(view, layer, options["pool"])
    check_cut(run.encoder, layer, run.images[:4])
    channels = torch.arange(clean.shape[1], device=clean.device)

    def rows_of(image: Tensor, channel: Tensor) -> Tensor:
        chosen = (channel[:, None] == channels)[..., None, None]
        return torch.where(chosen, mean, clean[image])

    kept = _log_odds_of(view, layer, lambda image, channel: clean[image], len(clean), 1)
    importance = kept - _log_odds_of(view, layer, rows_of, len(clean), len(channels))

    def estimates(name: str, slope: Tensor, maps: Tensor) -> Tensor:
        return torch.stack([slope.double().mean(dim=(2, 3)), (slope * (maps - mean)).double().sum(dim=(2, 3))], dim=1)

    slopes = layer_slopes(view, [layer], estimates)
    estimated = torch.stack([slopes[name][layer] for name in view.heads])  # [head, image, estimate, channel]
    agreement = [rank_correlation(importance.cpu().numpy(), estimated[:, :, place].cpu().numpy()) for place in range(2)]
    values = {"importance": importance, "rank_agreement_grad_cam": agreement[0], "rank_agreement_first_order": agreement[1]}
    return Payload(values)


def _both_runs(view: View, layer: str) -> tuple[Tensor, Tensor]:
    """Return the activations of a layer for the images and for what the fill makes of all their pixels."""
    run, images = view.run, view.run.images
    check_cut(run.encoder, layer, images[:4])
    train, labels = run.training_bank()
    items = torch.from_numpy(run.data.indices("train")).to(images.device)
    bank = Bank.of(run.data.images, items, labels, train, run.embeddings)
    everything = torch.ones_like(images[:, 0], dtype=torch.bool)
    filled = fill_images(view.fill, images, run.encoder.mean, run.index, view.fill_seed, everything, bank)
    return _maps(view, images, layer), _maps(view, filled, layer)


def _maps(view: View, images: Tensor, layer: str) -> Tensor:
    rows, together = torch.arange(len(images), device=images.device), at_once("embedded", images.shape)
    return torch.cat(in_chunks(lambda some: layer_maps(view.run.encoder, images[some], layer), rows, together, "layer"))


def _mean_maps(view: View, layer: str, most: int) -> Float[Tensor, "channel y x"]:
    """Return the mean activations of a layer over training images."""
    store = ImageStore(view.run.data.images, view.training("patching", most), view.run.index.device)
    positions, together = torch.arange(len(store), device=store.device), at_once("embedded", view.run.data.images.shape)
    parts = in_chunks(
        lambda some: layer_maps(view.run.encoder, store.take(some), layer).double().sum(0), positions, together, "layer"
    )
    return (torch.stack(parts).sum(0) / len(store)).float()


def _log_odds_of(
    view: View, layer: str, rows_of: Callable[[Tensor, Tensor], Tensor], n_images: int, n_versions: int
) -> Float[Tensor, "head image version"]:
    """Return the log-odds of the clean images' classes for several versions of a layer, `rows_of(image, version)`, float64."""
    heads, embeddings = view.heads.values(), view.run.embeddings
    targets = torch.stack([head.predict(embeddings) for head in heads])

    def compute(rows: Int[Tensor, " row"]) -> Float[Tensor, "row head"]:
        image, version = rows // n_versions, rows % n_versions
        output = embedded_from(view.run.encoder, layer, rows_of(image, version))
        return torch.stack([log_odds(head(output), own[image]).double() for head, own in zip(heads, targets, strict=True)], dim=1)

    rows = torch.arange(n_images * n_versions, device=embeddings.device)
    parts = in_chunks(compute, rows, at_once("copies", view.run.data.images.shape), "patching")
    return torch.cat(parts).T.unflatten(1, (n_images, n_versions))
