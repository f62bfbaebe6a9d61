"""Whether a quicker arithmetic leaves the curves as they are: measured on the study's own images before it is used."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clxai.errors import ClxaiError
from clxai.flipping.engine import Flipping, flip
from clxai.flipping.observing import Observer
from clxai.networks.inference import Encoder, prepared_for_flipping

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
    some, plan = slice(PROBE_IMAGES), flipping.first(PROBE_IMAGES)
    difference = auc_difference(encoder, observer, images[some], index[some], rank[:, some], plan)
    worst = float(difference.mean(dim=-1).abs().max())
    print(f"{flipping.precision}: the mean AUCs of {len(index[some])} images differ from float32 by up to {worst:.2g}")
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
        prepared = prepared_for_flipping(encoder, precision)
        plan = replace(flipping, fills=flipping.fills[:1], precision=precision)
        found = torch.zeros(len(rank), 2, len(observer.heads), len(images), device=images.device)
        for (explained, _, order, group), quantities, _ in flip(prepared, observer, images, index, rank, plan):
            curve = quantities["probability_matched"]
            found[explained, order, :, group] = torch.trapezoid(curve, plan.fraction.to(curve), dim=-1)
        areas.append(found)
    return areas[0] - areas[1]
