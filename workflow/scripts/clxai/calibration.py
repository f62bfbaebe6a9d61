"""Accuracy and calibration of a head's scores, and the temperature that makes heads comparable."""

import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor

from clxai.heads import Head

ECE_BINS = 15
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


def fit_temperature(scores: Float[Tensor, "image class"], labels: Int[Tensor, " image"]) -> float:
    """Return the temperature t > 0 that minimises the cross-entropy of softmax(s / t) with smoothed labels.

    The label gets (n + 1) / (n + 2) and the other classes share the rest: Laplace's rule for right against wrong, as in Platt
    (1999, section 2.2). Without it, a split without errors would ask for t = 0.
    """
    n_images, n_classes = scores.shape
    scores = scores.double().cpu()
    target = torch.full((n_images, n_classes), 1 / (n_images + 2) / (n_classes - 1), dtype=torch.float64)
    target.scatter_(1, labels.cpu()[:, None], (n_images + 1) / (n_images + 2))

    def cross_entropy(log_temperature: float) -> float:
        return float(-(target * (scores / torch.tensor(log_temperature).exp()).log_softmax(1)).sum(1).mean())

    return float(torch.tensor(minimize_scalar(cross_entropy, bounds=_LOG_TEMPERATURE, method="bounded").x).exp())


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
        "ece_matched": expected_calibration_error(matched.softmax(1), correct),
        "nll_matched": negative_log_likelihood(matched, labels),
        "score_vote_agreement": float((scores.argmax(1) == prediction).double().mean()),
    }
