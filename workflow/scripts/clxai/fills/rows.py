"""Fills of one colour per row."""

import torch
from jaxtyping import Float
from torch import Tensor

from clxai.fills.base import Bank, Canvas, fill

_AT_ONCE = 1024  # training images that are read together


@fill("row_mean", needs="bank")
def row_mean(canvas: Canvas) -> Float[Tensor, "image channel y x"]:
    """The mean of the training images in each row: of a spectrogram the mean level of each frequency."""
    return mean_of_rows(canvas.bank).to(canvas.images.dtype).expand_as(canvas.images)


def mean_of_rows(bank: Bank) -> Float[Tensor, "channel y 1"]:
    """Return the mean over all training images and columns, in [0, 1], float64."""
    places = torch.arange(len(bank.items)).split(_AT_ONCE)
    sums = [bank.pictures(some).double().mean(dim=-1, keepdim=True).sum(dim=0) for some in places]
    return torch.stack(sums).sum(dim=0) / len(bank.items)
