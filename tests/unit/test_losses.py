"""Losses equal their definitions, written out as loops, and the published implementations."""

import math

import pytest
import torch
from clxai.losses.base import LOSSES
from clxai.losses.cross_entropy import cross_entropy
from clxai.losses.supcon import supcon
from clxai.losses.triplet import triplet
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss


def batch(n_views=12, n_features=6, n_classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n_views, n_features, generator=generator)
    return outputs, torch.randint(0, n_classes, (n_views,), generator=generator)


def supcon_by_loops(outputs, labels, temperature):
    """Khosla et al. 2020, eq. 2, in float64; None if no anchor has a positive."""
    units = [row.double() / row.double().norm() for row in outputs]
    anchors = []
    for i in range(len(units)):
        positives = [p for p in range(len(units)) if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        others = [float(units[i] @ units[a]) / temperature for a in range(len(units)) if a != i]
        log_total = max(others) + math.log(sum(math.exp(value - max(others)) for value in others))
        anchors.append(-sum(float(units[i] @ units[p]) / temperature - log_total for p in positives) / len(positives))
    return sum(anchors) / len(anchors) if anchors else None


def triplet_by_loops(outputs, labels, margin):
    """Schroff et al. 2015, section 3.2, over all positive pairs, in float64."""
    units = torch.nn.functional.normalize(outputs.double(), dim=1)
    distance = [[float((a - b).norm()) for b in units] for a in units]
    terms = []
    for a in range(len(units)):
        negatives = [distance[a][n] for n in range(len(units)) if labels[n] != labels[a]]
        for p in range(len(units)):
            if p == a or labels[p] != labels[a] or not negatives:
                continue
            semi_hard = [value for value in negatives if value > distance[a][p]]
            chosen = min(semi_hard) if semi_hard else max(negatives)
            terms.append(max(0.0, distance[a][p] - chosen + margin))
    return sum(terms) / len(terms) if terms else 0.0


batches = st.builds(batch, st.integers(2, 14), st.integers(2, 8), st.integers(1, 5), st.integers(0, 10**6))


@given(batches, st.sampled_from([0.05, 0.1, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_supcon_equals_its_definition(drawn, temperature):
    expected = supcon_by_loops(*drawn, temperature)
    assert float(supcon(*drawn, temperature)) == pytest.approx(expected or 0.0, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_supcon_equals_pytorch_metric_learning(temperature, seed):
    outputs, labels = batch(32, 16, 4, seed)
    expected = SupConLoss(temperature=temperature)(outputs, labels)
    torch.testing.assert_close(supcon(outputs, labels, temperature), expected, rtol=1e-4, atol=1e-5)


def test_supcon_anchor_without_a_positive_is_left_out_of_the_mean():
    """The lone view is still a negative of the others."""
    outputs, _ = batch(5)
    labels = torch.tensor([0, 0, 1, 1, 2])
    expected = SupConLoss(temperature=0.1)(outputs, labels)
    torch.testing.assert_close(supcon(outputs, labels, 0.1), expected, rtol=1e-4, atol=1e-5)


def test_supcon_without_any_positive_is_zero_with_zero_gradient():
    outputs = batch(4)[0].requires_grad_()
    value = supcon(outputs, torch.arange(4), 0.1)
    value.backward()
    assert value == 0
    assert not outputs.grad.any()


def test_supcon_is_log_of_the_number_of_others_if_all_views_are_equal():
    value = supcon(torch.ones(8, 3), torch.arange(4).repeat(2), 0.1)
    assert float(value) == pytest.approx(math.log(7), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.001, 0.01])
def test_supcon_at_an_extreme_temperature_is_finite_and_exact(temperature):
    outputs, labels = batch(16, 8, 3)
    outputs[labels == 0] = outputs[0].clone()  # identical views: similarity 1, exponent up to 1000
    outputs.requires_grad_()
    value = supcon(outputs, labels, temperature)
    value.backward()
    assert torch.isfinite(outputs.grad).all()
    assert value.item() == pytest.approx(supcon_by_loops(outputs.detach(), labels, temperature), rel=1e-4)


def test_supcon_in_bfloat16_is_computed_in_float32():
    outputs, labels = batch(16)
    value = supcon(outputs.bfloat16(), labels, 0.05)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(supcon_by_loops(outputs.bfloat16().float(), labels, 0.05), rel=1e-4)


@given(batches, st.floats(0.05, 1.0))
@settings(max_examples=40, deadline=None)
def test_triplet_equals_its_definition(drawn, margin):
    assert float(triplet(*drawn, margin)) == pytest.approx(triplet_by_loops(*drawn, margin), rel=1e-4, abs=1e-4)


def test_triplet_takes_the_nearest_negative_beyond_the_positive():
    """A pair 30 degrees apart: from 0 the negatives lie at 20 (too near), 70 (chosen), 90; from 30 at 10, 40 (chosen), 60."""
    degrees = torch.tensor([0.0, 30.0, 20.0, 70.0, 90.0]).deg2rad()
    outputs = torch.stack([degrees.cos(), degrees.sin()], dim=1)
    chord = [2 * math.sin(math.radians(angle) / 2) for angle in range(91)]
    expected = ((chord[30] - chord[70] + 1) + (chord[30] - chord[40] + 1)) / 2
    assert float(triplet(outputs * 3, torch.tensor([0, 0, 1, 2, 3]), 1.0)) == pytest.approx(expected, abs=1e-4)


def test_triplet_negative_as_far_as_the_positive_is_not_beyond_it():
    """From (1, 0) the negatives lie at sqrt 2, as the positive, and at 2 (chosen); from (0, 1) at 0 and sqrt 2, the farthest."""
    outputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    expected = ((math.sqrt(2) - 2 + 1) + 1) / 2
    assert float(triplet(outputs, torch.tensor([0, 0, 1, 2]), 1.0)) == pytest.approx(expected, abs=1e-5)


def test_triplet_without_a_farther_negative_takes_the_farthest():
    degrees = torch.tensor([0.0, 90.0, 10.0, 20.0]).deg2rad()
    outputs = torch.stack([degrees.cos(), degrees.sin()], dim=1)
    chord = [2 * math.sin(math.radians(angle) / 2) for angle in range(91)]
    expected = ((chord[90] - chord[20] + 0.3) + (chord[90] - chord[80] + 0.3)) / 2
    assert float(triplet(outputs, torch.tensor([0, 0, 1, 2]), 0.3)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 0, 0]], ids=["no_pair", "no_negative"])
def test_triplet_without_a_triplet_is_zero_with_zero_gradient(labels):
    outputs = batch(4)[0].requires_grad_()
    value = triplet(outputs, torch.tensor(labels), 0.3)
    value.backward()
    assert value == 0
    assert not outputs.grad.any()


def test_triplet_of_collapsed_outputs_has_a_finite_gradient():
    """Equal outputs are at distance 0, where the root has no derivative."""
    outputs = torch.eye(1, 3).repeat(6, 1).requires_grad_()
    value = triplet(outputs, torch.tensor([0, 0, 0, 1, 1, 1]), 0.3)
    value.backward()
    assert value.item() == pytest.approx(0.3, abs=1e-3)
    assert torch.isfinite(outputs.grad).all()


def test_cross_entropy_equals_the_mean_negative_log_softmax():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert float(cross_entropy(logits, labels, 0.0)) == pytest.approx(expected)


def test_cross_entropy_label_smoothing_mixes_with_the_uniform_distribution():
    logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert float(cross_entropy(logits, labels, 0.2)) == pytest.approx(0.9 * right + 0.1 * wrong)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_the_same_for_any_order_of_the_batch(name):
    outputs, labels = batch(20, 6, 4)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    entry = LOSSES[name]
    options = entry.semantics["options"]
    torch.testing.assert_close(
        entry.definition(outputs[order], labels[order], **options), entry.definition(outputs, labels, **options)
    )


@pytest.mark.parametrize("name", ["supcon", "triplet"])
def test_contrastive_loss_ignores_the_length_of_the_outputs(name):
    outputs, labels = batch(20, 6, 4)
    scale = torch.rand(20, 1, generator=torch.Generator().manual_seed(1)) * 5 + 0.1
    entry = LOSSES[name]
    options = entry.semantics["options"]
    torch.testing.assert_close(entry.definition(outputs * scale, labels, **options), entry.definition(outputs, labels, **options))


@pytest.mark.parametrize(("loss", "name"), [(supcon, "temperature"), (triplet, "margin")])
@pytest.mark.parametrize("value", [0.0, -0.1])
def test_contrastive_loss_refuses_an_option_that_is_not_positive(loss, name, value):
    with pytest.raises(ValueError, match=f"{name} must be > 0. Got {value}"):
        loss(*batch(), value)
