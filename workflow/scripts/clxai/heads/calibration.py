"""Accuracy and calibration of a head's scores, and the temperature that makes heads comparable."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor

from clxai.heads.base import Head

ECE_BINS = 15
_Z = 1.959964  # of a 95 % interval
_LOG_TEMPERATURE = (-7.0, 7.0)  # bounds of the search, e^-7 to e^7


def negative_log_likelihood(scores: Float[Tensor, "image class"], labels: Int[Tensor, " image"]) -> float:
    """Return the mean of -log p_y in nats; 0 is best."""
    return float(-scores.double().log_softmax(1).gather(1, labels[:, None]).mean())


def expected_calibration_error(
    probability: Float[Tensor, "image class"], correct: Float[Tensor, " image"], n_bins: int = ECE_BINS
) -> float:
    """Return sum_b |B_b| / n |accuracy(B_b) - confidence(B_b)| over equal bins of the highest probability, in [0, 1].

    Reference: [Guo et al. 2017, eq. 3]. `correct` is 1 where the head's prediction is the label.
    """
    confidence = probability.amax(dim=1).double()
    bins = (confidence * n_bins).long().clamp(max=n_bins - 1)
    gap = torch.zeros(n_bins, dtype=torch.float64, device=bins.device).scatter_add(0, bins, correct.double() - confidence)
    return float(gap.abs().sum() / len(confidence))


class Temperature(NamedTuple):
    """A fitted temperature and the ends of its 95 % interval, all within e^-7 and e^7."""

    value: float
    low: float
    high: float


def fit_temperature(
    scores: Float[Tensor, "row class"], labels: Int[Tensor, " row"], image: Int[Tensor, " row"] | None = None
) -> Temperature:
    """Return the temperature t > 0 that minimises the cross-entropy of softmax(s / t), with its interval.

    Rows that share an `image` are copies of it and not independent. The interval is log t +- 1.96 times the cluster-robust
    standard error, sqrt(sum_i u_i^2 n / (n - 1)) / h with u_i the derivative of the loss of image i by log t and h the second
    derivative of the total [Liang, Zeger 1986]. Rows without an error ask for t = 0 and say nothing of t: the interval is then
    all that is searched.
    """
    scores = scores.double().cpu()
    labels, owner = labels.cpu(), torch.arange(len(scores)) if image is None else image.cpu().unique(return_inverse=True)[1]

    def cross_entropy(log_temperature: float) -> float:
        return negative_log_likelihood(scores / math.exp(log_temperature), labels)

    centre = float(minimize_scalar(cross_entropy, bounds=_LOG_TEMPERATURE, method="bounded").x)
    reach = _Z * _standard_error(scores, labels, owner, centre)
    low, high = _LOG_TEMPERATURE
    ends = (max(low, centre - reach), min(high, centre + reach)) if math.isfinite(reach) else (low, high)
    return Temperature(math.exp(centre), math.exp(ends[0]), math.exp(ends[1]))


def _standard_error(scores: Tensor, labels: Tensor, owner: Tensor, log_temperature: float) -> float:
    """Return the cluster-robust standard error of the log temperature; infinite where the loss has no minimum inside."""
    scaled = scores / math.exp(log_temperature)
    probability = scaled.softmax(1)
    mean = (probability * scaled).sum(1)
    slope = scaled.gather(1, labels[:, None]).squeeze(1) - mean  # by log t: the loss is logsumexp(s / t) - s_y / t
    spread = (probability * scaled.square()).sum(1) - mean.square()
    curvature = float((spread - slope).sum())
    n_images = int(owner.max()) + 1
    by_image = torch.zeros(n_images, dtype=scores.dtype).index_add(0, owner, slope)
    inside = (
        abs(float(slope.sum())) < 1e-3 * float(slope.abs().sum())
        and min(abs(log_temperature - end) for end in _LOG_TEMPERATURE) > 1e-3
    )
    if not inside or curvature <= 0 or n_images < 2:
        return math.inf
    return float((by_image.square().sum() * n_images / (n_images - 1)).sqrt()) / curvature


def head_metrics(head: Head, embeddings: Float[Tensor, "image feature"], labels: Int[Tensor, " image"]) -> dict[str, float | int]:
    """Return accuracy, ECE and NLL of a head, raw and at its temperature, and how often its scores agree with its vote."""
    scores, prediction = head.decide(embeddings)
    correct = (prediction == labels).double()
    matched = scores / head.temperature
    return {
        "n_images": len(labels),
        "accuracy": float(correct.mean()),
        "ece": expected_calibration_error(scores.softmax(1), correct),
        "nll": negative_log_likelihood(scores, labels),
        "temperature": float(head.temperature),
        "temperature_low": float(head.temperature_low),
        "temperature_high": float(head.temperature_high),
        "ece_matched": expected_calibration_error(matched.softmax(1), correct),
        "nll_matched": negative_log_likelihood(matched, labels),
        "score_vote_agreement": float((scores.argmax(1) == prediction).double().mean()),
    }
