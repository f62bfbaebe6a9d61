"""What a layer of the network holds: its activations, the slopes of the log-odds there, and what follows from it alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from clxai.analyses.base import View
from clxai.data.batches import ImageStore, in_unit_range
from clxai.errors import ClxaiError
from clxai.heads.base import log_odds
from clxai.networks.inference import Encoder
from clxai.networks.replaying import embedded_from
from clxai.runs import Run
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once

_SAME = 1e-3  # of the largest value of an embedding: two ways to compute it agree


@contextmanager
def captured(encoder: Encoder, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a mapping that a forward pass fills with the output [image, channel, y, x] of each layer."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: found.__setitem__(name, output)

    hooks = [encoder.backbone.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def spatial_mean(maps: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image channel"]:
    """Return one number a channel, float64."""
    return maps.detach().double().mean(dim=(2, 3))


@torch.no_grad()
def layer_means(
    encoder: Encoder, run: Run, index: Int[ndarray, " item"], layers: Sequence[str]
) -> dict[str, Float[ndarray, "item channel"]]:
    """Return the spatial means of some layers of an encoder for images of the data set by their numbers, float64."""
    store = ImageStore(run.data.images, index, run.index.device)

    def compute(positions: Tensor) -> dict[str, Tensor]:
        with captured(encoder, layers) as found:
            encoder(store.take(positions))
        return {name: spatial_mean(found[name]) for name in layers}

    positions, together = torch.arange(len(store), device=store.device), at_once("embedded", run.data.images.shape)
    parts = in_chunks(compute, positions, together, "activations")
    return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in layers}


@torch.no_grad()
def layer_maps(encoder: Encoder, images: Float[Tensor, "image colour py px"], layer: str) -> Float[Tensor, "image channel y x"]:
    """Return the activations of a layer for images in [0, 1]."""
    with captured(encoder, [layer]) as found:
        encoder(images)
    return found[layer]


def check_cut(encoder: Encoder, layer: str, images: Float[Tensor, "image colour py px"]) -> None:
    """Raise ClxaiError unless the embeddings of images follow from a layer alone, so that patching it means what it says."""
    expected = encoder(images)
    found = embedded_from(encoder, layer, layer_maps(encoder, images, layer))
    if found.shape != expected.shape or (found - expected).abs().max() > _SAME * expected.abs().max():
        raise ClxaiError(f"layer {layer!r} cannot be patched: what follows it sees other layers of the network too; name another")


Slopes = Callable[[str, Tensor, Tensor], Tensor]  # layer, slopes, activations -> numbers of each image


def layer_slopes(view: View, layers: Sequence[str], reduced: Slopes) -> dict[str, dict[str, Float[Tensor, "image *axes"]]]:
    """Return by head and layer what `reduced` makes of dm/dA [image, channel, y, x] and of the activations A.

    m is the log-odds of the predicted class. Each head is frozen near the clean embedding, as for all gradients.
    """
    run = view.run
    images, embeddings = run.images, run.embeddings
    targets = {name: head.predict(embeddings) for name, head in view.heads.items()}

    def compute(rows: Tensor) -> dict[tuple[str, str], Tensor]:
        found: dict[tuple[str, str], Tensor] = {}
        inputs = run.encoder.normalise(images[rows]).detach().requires_grad_(True)
        with captured(run.encoder, layers) as maps:
            output = run.encoder.backbone(inputs)
        for name, head in view.heads.items():
            scores = head.freeze(embeddings[rows])(head.points(output), torch.arange(len(rows), device=rows.device))
            odds = log_odds(scores, targets[name][rows]).sum()
            slopes = torch.autograd.grad(odds, [maps[layer] for layer in layers], retain_graph=True)
            for layer, slope in zip(layers, slopes, strict=True):
                found[name, layer] = reduced(layer, slope.detach(), maps[layer].detach())
        return found

    rows = torch.arange(len(images), device=images.device)
    parts = in_chunks(compute, rows, at_once("explained", images.shape), "slopes")
    return {name: {layer: torch.cat([part[name, layer] for part in parts]) for layer in layers} for name in view.heads}


def mean_slopes(view: View, layers: Sequence[str]) -> Mapping[str, Mapping[str, Float[Tensor, "image channel"]]]:
    """Return by head and layer the spatial means of dm/dA, float64: the slope along a direction of channels is their product."""
    return layer_slopes(view, layers, lambda layer, slope, maps: spatial_mean(slope))


def pixels_of(run: Run, index: Int[ndarray, " item"]) -> Float[ndarray, "item value"]:
    """Return the pixels of images of the data set by their numbers, in [0, 1], float64."""
    return in_unit_range(torch.from_numpy(run.data.images[index])).double().flatten(1).numpy()
