"""What the values of a map are to add up to, and how well they do."""

import torch
from jaxtyping import Float
from torch import Tensor

from clxai.attribution.base import Problem
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import at_once


@torch.no_grad()
def values_of(problem: Problem, inputs: Float[Tensor, "image channel y x"], name: str) -> Float[Tensor, " image"]:
    """Return the log-odds of normalised inputs, one in place of each image; `name` is that of the method."""
    size = at_once("embedded", inputs.shape)
    return torch.cat(in_chunks(lambda rows: problem.log_odds(inputs[rows], rows), problem.rows, size, name))


def completeness_error(
    delta: Float[Tensor, " image"], difference: Float[Tensor, " image"], values: Float[Tensor, "image *part"]
) -> Float[Tensor, " image"]:
    """Return |delta| / max(|difference|, sum |values|), one per image, 1: 0 where the values add up.

    `difference` is what they should add up to, as m(x) - m(b), and `delta` what their sum lacks or has too much. |difference|
    alone vanishes where evidence for and against the class cancel, though the values are as good as elsewhere.
    """
    amount = values.abs().sum(dim=tuple(range(1, values.ndim)))
    return delta.abs() / torch.maximum(difference.abs(), amount).clamp(min=1e-12)
