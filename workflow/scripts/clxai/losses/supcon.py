"""The supervised contrastive loss."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.losses.base import loss


@loss("supcon", top="projection", views=2, options={"temperature": 0.1})
def supcon(outputs: Float[Tensor, "view feature"], labels: Int[Tensor, " view"], temperature: float) -> Float[Tensor, ""]:
    """Supervised contrastive loss L_out [Khosla et al. 2020, eq. 2], mean over the anchors that have a positive.

    L = mean_i -1/|P(i)| sum_{p in P(i)} [ u_i.u_p / t - log sum_{a != i} exp(u_i.u_a / t) ], u = outputs / |outputs|, P(i) the
    other views with the label of i, t the temperature. Differs from the reference code, which multiplies by t / t_base.
    Self-similarity is masked before the log-sum-exp, so that a small temperature loses no precision. An anchor without a
    positive is left out; a batch without any gives 0.

    Raises ValueError if temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be > 0. Got {temperature}")
    units = functional.normalize(outputs.float(), dim=1)
    self_mask = torch.eye(len(units), dtype=torch.bool, device=units.device)
    similarity = (units @ units.T / temperature).masked_fill(self_mask, -torch.inf)
    log_share = similarity - similarity.logsumexp(dim=1, keepdim=True)
    positive = (labels[:, None] == labels) & ~self_mask
    n_positives = positive.sum(dim=1)
    per_anchor = -log_share.masked_fill(~positive, 0.0).sum(dim=1) / n_positives.clamp(min=1)
    return per_anchor.sum() / (n_positives > 0).sum().clamp(min=1)
