"""Training losses. Each takes what sits on top of the embedding, and labels, and returns a scalar, in float32."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.registry import Registry

LOSSES = Registry("loss")
loss = LOSSES.register


@loss("cross_entropy", top="classifier", views=1, options={"label_smoothing": 0.0}, at_most={"label_smoothing": 1.0})
def cross_entropy(
    outputs: Float[Tensor, "view class"], labels: Int[Tensor, " view"], label_smoothing: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of logits with integer labels."""
    return functional.cross_entropy(outputs.float(), labels, label_smoothing=label_smoothing)


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
