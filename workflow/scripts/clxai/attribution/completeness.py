"""How well the values of a map add up to what it is to distribute."""

import torch
from jaxtyping import Float
from torch import Tensor


def completeness_error(
    delta: Float[Tensor, " image"], difference: Float[Tensor, " image"], values: Float[Tensor, "image *part"]
) -> Float[Tensor, " image"]:
    """Return |delta| / max(|difference|, sum |values|), one per image, 1: 0 where the values add up.

    `difference` is what they should add up to, as m(x) - m(b), and `delta` what their sum lacks or has too much. |difference|
    alone vanishes where evidence for and against the class cancel, though the values are as good as elsewhere.
    """
    amount = values.abs().sum(dim=tuple(range(1, values.ndim)))
    return delta.abs() / torch.maximum(difference.abs(), amount).clamp(min=1e-12)
