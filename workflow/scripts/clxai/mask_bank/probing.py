"""The mask bank: the log-odds of every class by every head for every image under every mask, as one artefact."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clxai.fills.base import fill_of
from clxai.fills.baselines import PREVIEW, PREVIEW_AXES, Digest, baseline_record, preview, source_of
from clxai.heads.base import Head, log_odds
from clxai.mask_bank.drawing import draw_masks, held_out_of, laws_of
from clxai.mask_bank.removing import Removal, Removing
from clxai.mask_bank.sizes import pairs_of
from clxai.networks.inference import prepared_for_flipping
from clxai.runs import Run
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import chosen_batch


def fill_bank(run: Run, settings: Mapping[str, Any]) -> xarray.Dataset:
    """Draw the masks of a run's images, embed each image under each of them, and return what every head says, with its record.

    `settings`: units and fill ({name, units or fill, options}; the fill's own seed, as flipping has it), masks, held_out, seed,
    batch_size. Raises ClxaiError if the units do not fit the images, or if there are too few masks.
    """
    fitted, held = pairs_of(settings["masks"], settings["held_out"])
    units, fill, images = settings["units"], settings["fill"], run.images
    encoder = prepared_for_flipping(run.encoder, "float32")
    removal = Removal(units["units"], units["options"], fill_of(fill), fill["seed"])
    removing = removal.on(encoder, images, run.index)
    everyone = torch.arange(len(images), device=images.device)
    n_units = removing.cut.units_of(everyone)
    present = draw_masks(run.index, n_units, removing.cut.most, fitted + held, settings["seed"])
    batch_size = chosen_batch(settings["batch_size"], encoder.bytes_per_image(), images.device)
    found = probe(encoder.backbone, run.heads, removing, present, batch_size)
    named = _labelled(run, removing, present, found, n_units)
    split = {"law": laws_of(removing.cut.most, fitted + held), "held_out": held_out_of(removing.cut.most, fitted, held)}
    record = {"masks": settings["masks"], "held_out_share": settings["held_out"], "seed": settings["seed"]}
    record |= {"units": units["name"], "units_member": units["units"]}
    record |= {f"units_{name}": value for name, value in units["options"].items()} | {"fill_seed": fill["seed"]}
    empty = removing.perturbing.empty(everyone)
    source = source_of(fill["fill"], removal.fill.options, fill["seed"])
    record |= baseline_record(fill["name"], Digest().then(empty), source=source)
    pixels = (empty - encoder.normalise(torch.zeros_like(empty))) * encoder.scale
    return (
        named.assign({PREVIEW: (PREVIEW_AXES, preview(pixels))})
        .assign_coords(law=("mask", split["law"]), held_out=("mask", np.array(split["held_out"], dtype=np.int8)))
        .assign_attrs(record)
    )


@torch.no_grad()
def probe(
    backbone: torch.nn.Module,
    heads: Mapping[str, Head],
    removing: Removing,
    present: Bool[Tensor, "image mask unit"],
    batch_size: int,
) -> Float[Tensor, "image mask head class"]:
    """Return the log-odds of every class by every head for images that keep the units of each mask; neighbours are searched."""
    n_masks = present.shape[1]

    def observed(places: Int[Tensor, " row"]) -> Float[Tensor, "row head class"]:
        image, mask = places // n_masks, places % n_masks
        embeddings = backbone(removing.without(~present[image, mask], image))
        return torch.stack([log_odds_of_all(head.decide(embeddings)[0]) for head in heads.values()], dim=1)

    places = torch.arange(len(present) * n_masks, device=present.device)
    parts = in_chunks(observed, places, batch_size, "mask bank", "flipping.batch_size")
    return torch.cat(parts).unflatten(0, present.shape[:2])


def log_odds_of_all(scores: Float[Tensor, "row class"]) -> Float[Tensor, "row class"]:
    """Return the log-odds of every class."""
    n_classes = scores.shape[1]
    classes = torch.arange(n_classes, device=scores.device).expand(len(scores), -1)
    return log_odds(scores[:, None].expand(-1, n_classes, -1), classes)


def _labelled(run: Run, removing: Removing, present: Tensor, found: Tensor, n_units: Tensor) -> xarray.Dataset:
    """Return the arrays of a bank with their axes; eight units of a mask are one byte, the first one its lowest bit."""
    labels = removing.cut.labels.cpu().numpy()
    cut = (("y", "x"), labels[0]) if len(labels) == 1 else (("image", "y", "x"), labels)
    packed = np.packbits(present.cpu().numpy(), axis=2, bitorder="little")
    return xarray.Dataset(
        {
            "present": (("image", "mask", "byte"), packed, {"description": "units that are there, eight a byte"}),
            "log_odds": (("image", "mask", "head", "class"), found.cpu().numpy(), {"units": "nat"}),
            "n_units": ("image", n_units.cpu().numpy().astype(np.int32)),
            "unit": (*cut, {"description": "unit of each pixel, from 0"}),
        },
        coords={
            "image": run.index.cpu().numpy(),
            "head": list(run.heads),
            "class": np.arange(found.shape[3]),
        },
    )
