"""Calibration measures equal hand-computed values, and the fitted temperature is the true one."""

import math

import pytest
import torch
from clxai.calibration import expected_calibration_error, fit_temperature, head_metrics, negative_log_likelihood
from hypothesis import given, settings
from hypothesis import strategies as st


def simulated(n_images, temperature, n_classes=5):
    """Labels drawn from softmax(s / temperature)."""
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(n_images, n_classes, generator=generator)
    labels = torch.multinomial((scores / temperature).softmax(1), 1, generator=generator).squeeze(1)
    return scores, labels


def test_negative_log_likelihood_of_known_probabilities():
    scores = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).log() + 7
    expected = -(math.log(0.5) + math.log(0.1)) / 2
    assert negative_log_likelihood(scores, torch.tensor([0, 1])) == pytest.approx(expected)


def test_negative_log_likelihood_is_exact_where_the_probability_underflows():
    assert negative_log_likelihood(torch.tensor([[0.0, 2000.0]]), torch.tensor([0])) == pytest.approx(2000)


def test_expected_calibration_error_of_two_bins():
    """Bin (0.5, 0.75): confidences 0.6, 0.7, one right; bin (0.75, 1]: 0.9, 0.8, 1.0, all right."""
    top = torch.tensor([0.6, 0.7, 0.9, 0.8, 1.0])
    probability = torch.stack([top, 1 - top], dim=1)
    correct = torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])
    expected = 2 / 5 * abs(0.5 - 0.65) + 3 / 5 * abs(1.0 - 0.9)
    assert expected_calibration_error(probability, correct, n_bins=4) == pytest.approx(expected)


def test_expected_calibration_error_is_one_for_certain_and_wrong():
    probability = torch.tensor([[1.0, 0.0]] * 3)
    assert expected_calibration_error(probability, torch.zeros(3)) == 1
    assert expected_calibration_error(probability, torch.ones(3)) == 0


def test_expected_calibration_error_of_calibrated_scores_vanishes():
    scores, labels = simulated(20000, 1.0)
    correct = (scores.argmax(1) == labels).double()
    assert expected_calibration_error(scores.softmax(1), correct) < 0.015


@given(st.lists(st.tuples(st.floats(0.5, 1.0), st.booleans()), min_size=1, max_size=20), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_expected_calibration_error_is_at_least_the_total_gap_and_at_most_one(rows, n_bins):
    top = torch.tensor([confidence for confidence, _ in rows], dtype=torch.float64)
    correct = torch.tensor([float(right) for _, right in rows], dtype=torch.float64)
    found = expected_calibration_error(torch.stack([top, 1 - top], dim=1), correct, n_bins)
    assert abs((correct.mean() - top.mean()).item()) - 1e-9 <= found <= 1


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0, 20.0])
def test_fit_temperature_recovers_the_true_one(temperature):
    assert fit_temperature(*simulated(20000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_scales_with_the_scores():
    scores, labels = simulated(500, 2.0)
    assert fit_temperature(10 * scores, labels) == pytest.approx(10 * fit_temperature(scores, labels), rel=1e-3)


def test_fit_temperature_without_errors_gives_the_smoothed_confidence():
    """n images right with margin m ask for the margin log(n + 1) + log(C - 1): the smoothed label is (n + 1) / (n + 2)."""
    scores = torch.tensor([[8.0, 0.0, 0.0]] * 50)
    expected = 8 / (math.log(51) + math.log(2))
    assert fit_temperature(scores, torch.zeros(50, dtype=torch.int64)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_fit_temperature_of_extreme_scores_is_positive_and_finite(scale):
    scores, labels = simulated(100, 1.0)
    found = fit_temperature(scale * scores, labels)
    assert 0 < found < math.inf


def test_head_metrics_at_the_temperature_use_the_divided_scores(tiny_run, tiny_data):
    labels = torch.from_numpy(tiny_data.data.labels)[tiny_run.index]
    head = tiny_run.heads["linear"]
    metrics = head_metrics(head, tiny_run.embeddings, labels)
    scores = head(tiny_run.embeddings) / head.temperature
    probability = scores.double().softmax(1)[torch.arange(20), labels]
    assert metrics["n_images"] == 20
    assert metrics["nll_matched"] == pytest.approx(-probability.log().mean().item(), rel=1e-5)
    assert metrics["nll"] != pytest.approx(metrics["nll_matched"])
    assert metrics["score_vote_agreement"] == 1
