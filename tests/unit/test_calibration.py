"""Calibration measures equal hand-computed values, and the fitted temperature is the true one."""

import math

import pytest
import torch
from clxai.heads.calibration import expected_calibration_error, fit_temperature, head_metrics, negative_log_likelihood
from hypothesis import given, settings
from hypothesis import strategies as st


def simulated(n_images, temperature, n_classes=5, seed=0):
    """Labels drawn from softmax(s / temperature)."""
    generator = torch.Generator().manual_seed(seed)
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
    assert fit_temperature(*simulated(20000, temperature)).value == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_scales_with_the_scores():
    scores, labels = simulated(500, 2.0)
    expected = [10 * value for value in fit_temperature(scores, labels)]
    assert fit_temperature(10 * scores, labels) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("copies", [1, 4])
def test_interval_of_the_temperature_covers_the_true_one(copies):
    """95 % of 400 samples, up to the binomial error; copies of an image add no information, and the interval knows it."""
    covered = 0
    for number in range(400):
        scores, labels = simulated(150, 2.0, seed=number)
        image = torch.arange(150).repeat(copies)
        found = fit_temperature(scores.repeat(copies, 1), labels.repeat(copies), image)
        covered += found.low <= 2.0 <= found.high
    assert 0.92 <= covered / 400 <= 0.975


def test_temperature_of_half_of_the_images_lies_in_the_interval_and_the_interval_is_wider():
    scores, labels = simulated(800, 1.5)
    whole, half = fit_temperature(scores, labels), fit_temperature(scores[:400], labels[:400])
    assert whole.low < half.value < whole.high
    width, half_width = (math.log(found.high / found.low) for found in (whole, half))
    assert half_width == pytest.approx(math.sqrt(2) * width, rel=0.2)


@pytest.mark.parametrize("n_images", [50, 5000])
def test_rows_without_an_error_say_nothing_of_the_temperature(n_images):
    """Whatever their number: there is no smoothing that would turn it into a temperature."""
    scores = torch.tensor([[8.0, 0.0, 0.0]] * n_images)
    found = fit_temperature(scores, torch.zeros(n_images, dtype=torch.int64))
    assert (found.low, found.high) == pytest.approx((math.exp(-7), math.exp(7)))


def test_temperature_is_that_of_the_likelihood_without_smoothing():
    """One of four wrong at a margin of 3 between two classes: the optimum is p = 3/4."""
    scores = torch.tensor([[3.0, 0.0]] * 4)
    labels = torch.tensor([0, 0, 0, 1])
    assert fit_temperature(scores, labels).value == pytest.approx(3 / math.log(3), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_fit_temperature_of_extreme_scores_is_positive_and_finite(scale):
    scores, labels = simulated(100, 1.0)
    found = fit_temperature(scale * scores, labels)
    assert 0 < found.low <= found.value <= found.high < math.inf


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
