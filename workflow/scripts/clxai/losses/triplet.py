"""The triplet loss."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.losses.base import loss


@loss("triplet", top="projection", views=1, options={"margin": 0.3})
def triplet(outputs: Float[Tensor, "view feature"], labels: Int[Tensor, " view"], margin: float) -> Float[Tensor, ""]:
    """Triplet loss with semi-hard negatives on the unit sphere [Schroff et al. 2015, section 3.2].

    L = mean over pairs (a, p) of one class of max(0, d(a, p) - d(a, n) + margin), with d the Euclidean distance of unit vectors
    and n the nearest negative with d(a, n) > d(a, p); where there is none, the farthest negative. A batch without a pair or
    without a negative gives 0.

    Raises ValueError if margin is not above 0.
    """
    if margin <= 0:
        raise ValueError(f"margin must be > 0. Got {margin}")
    units = functional.normalize(outputs.float(), dim=1)
    distance = (2 - 2 * (units @ units.T)).clamp(min=1e-12).sqrt()
    same = labels[:, None] == labels
    positive = same & ~torch.eye(len(units), dtype=torch.bool, device=units.device)
    usable = positive & ~same.all(dim=1, keepdim=True)
    negatives, _ = distance.masked_fill(same, torch.inf).sort(dim=1)
    n_negatives = (~same).sum(dim=1, keepdim=True)
    first = torch.searchsorted(negatives.detach(), distance.detach().contiguous(), right=True)
    chosen = torch.minimum(first, (n_negatives - 1).clamp(min=0))
    gap = (distance - negatives.gather(1, chosen) + margin).clamp(min=0)
    return gap.masked_fill(~usable, 0.0).sum() / usable.sum().clamp(min=1)
