"""Whether a quicker arithmetic leaves the curves as they are: measured on the study's own images before it is used."""

import copy
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.flipping.engine import Flipping, Observer, flip
from clxai.networks.inference import Encoder, prepare_for_flipping

PROBE_IMAGES = 32  # on which both precisions are compared
AUC_TOLERANCE = 1e-3  # of a mean deletion or insertion AUC of probabilities, which lies in [0, 1]


def check_precision(
    encoder: Encoder,
    observer: Observer,
    images: Float[Tensor, "image channel y x"],
    index: Int[Tensor, " image"],
    rank: Int[Tensor, "explained image unit"],
    flipping: Flipping,
) -> None:
    """Raise ClxaiError if a precision other than float32 moves a mean AUC of the first images by more than 1e-3.

    The AUCs are those of the matched probability, per explanation, head and order, with the first fill.
    """
    if flipping.precision == "float32":
        return
    difference = auc_difference(encoder, observer, images[:PROBE_IMAGES], index[:PROBE_IMAGES], rank[:, :PROBE_IMAGES], flipping)
    worst = float(difference.mean(dim=-1).abs().max())
    print(f"{flipping.precision}: the mean AUCs of {len(index[:PROBE_IMAGES])} images differ from float32 by up to {worst:.2g}")
    if worst > AUC_TOLERANCE:
        raise ClxaiError(
            f"flipping.precision: {flipping.precision} moves a mean AUC by {worst:.2g} (allowed {AUC_TOLERANCE}): use float32"
        )


def auc_difference(
    encoder: Encoder,
    observer: Observer,
    images: Float[Tensor, "image channel y x"],
    index: Int[Tensor, " image"],
    rank: Int[Tensor, "explained image unit"],
    flipping: Flipping,
) -> Float[Tensor, "explained order head image"]:
    """Return AUC in the plan's precision minus AUC in float32, of the matched probability, first fill."""
    areas = []
    for precision in (flipping.precision, "float32"):
        prepared = copy.deepcopy(encoder)
        prepare_for_flipping(prepared.backbone, precision)
        plan = replace(flipping, fills=flipping.fills[:1], precision=precision)
        found = torch.zeros(len(rank), 2, len(observer.heads), len(images), device=images.device)
        for (explained, _, order, group), quantities, _ in flip(prepared, observer, images, index, rank, plan):
            curve = quantities["probability_matched"]
            found[explained, order, :, group] = torch.trapezoid(curve, plan.fraction.to(curve.device), dim=-1)
        areas.append(found)
    return areas[0] - areas[1]
