"""Pixels of another image: the nearest training image of another class."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clxai.fills.base import Bank, Canvas, fill
from clxai.runtime.memory import rows_at_once


@fill("nun", needs="bank")
def nun(canvas: Canvas) -> Float[Tensor, "image channel y x"]:
    """The nearest unlike neighbour: the training image nearest in the model's embedding space that is of another class.

    Each removed unit becomes that image's unit, so that all pixels are pictures' own.
    """
    return canvas.bank.pictures(nearest_unlike(canvas.bank)).to(canvas.images.dtype)


def nearest_unlike(bank: Bank) -> Int[Tensor, " image"]:
    """Return the places in the bank of each image's nearest unlike neighbour, by cosine; the first of a tie.

    An image's class is that of its nearest training image, which is itself if it is one: no label of an image that is flipped
    plays a part.
    """
    rows = rows_at_once(len(bank.embeddings), bank.own.device)
    return torch.cat([_unlike(some, bank) for some in bank.own.split(rows)])


def _unlike(own: Float[Tensor, "image feature"], bank: Bank) -> Int[Tensor, " image"]:
    cosine = own @ bank.embeddings.T
    like = bank.labels == bank.labels[cosine.argmax(dim=1), None]
    return cosine.masked_fill(like, -torch.inf).argmax(dim=1)
