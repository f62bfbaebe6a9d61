from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.cams import grad_cam_pp_alpha
from clxai.errors import ClxaiError
from clxai.registry import load
from hypothesis import given, settings
from hypothesis import strategies as st
from project import problem_of
from pytorch_grad_cam import GradCAM
from torch import nn
from torch.nn import functional

HEADS = ["softmax", "linear", "knn", "mahalanobis"]
LAYERS = ["layer1", "layer2", "layer3", "layer4"]


@pytest.fixture(scope="module")
def few(tiny_run):
    return tiny_run.at(tiny_run.index[:6].numpy())


def cam(problem, method, layer):
    return load("methods", method).definition(problem, {"layer": layer}).maps


def to_unit_maximum(maps):
    peak = maps.amax(dim=(2, 3), keepdim=True)
    return maps / torch.where(peak > 0, peak, 1.0)


class _LogOdds(nn.Module):
    """The explained scalar as a module of one input, as other packages want it."""

    def __init__(self, problem):
        super().__init__()
        self.backbone, self.problem = problem.encoder.backbone, problem

    def forward(self, inputs):
        return self.problem.log_odds(inputs, torch.arange(len(inputs)))[:, None]


class _AtLayerResolution(GradCAM):
    """The package's Grad-CAM without its resizing (OpenCV, other borders) and without its min-max scaling."""

    def compute_cam_per_layer(self, input_tensor, targets, eigen_smooth):
        (activation,) = self.activations_and_grads.activations
        (gradient,) = self.activations_and_grads.gradients
        return self.get_cam_image(input_tensor, None, targets, activation.numpy(), gradient.numpy(), eigen_smooth)

    def aggregate_multi_layers(self, cam_per_target_layer):
        return np.maximum(cam_per_target_layer, 0)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_equals_the_grad_cam_package(few, name, layer):
    problem = problem_of(few, name)
    model = _LogOdds(problem)
    with _AtLayerResolution(model, [getattr(model.backbone, layer)]) as package:
        reference = package(problem.inputs, [lambda output: output[0]] * len(few.images))
    reference = torch.from_numpy(reference)[:, None]
    assert reference.amax(dim=(1, 2, 3)).count_nonzero() > 0
    expected = functional.interpolate(reference, size=16, mode="bilinear", align_corners=False)
    found = cam(problem, "grad_cam", layer)
    torch.testing.assert_close(to_unit_maximum(found), to_unit_maximum(expected), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_grad_cam_keeps_its_shape_when_the_target_is_scaled(few, scale):
    problem = problem_of(few, "linear")

    def scaled(points, rows):
        return scores_with_odds(scale * problem.point_log_odds(points, rows), problem.target[rows])

    stretched = replace(problem, frozen=scaled)
    before, after = cam(problem, "grad_cam", "layer3"), cam(stretched, "grad_cam", "layer3")
    torch.testing.assert_close(to_unit_maximum(after), to_unit_maximum(before), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after, scale * before, rtol=1e-3, atol=1e-4 * float(after.max()))


def scores_with_odds(odds, target):
    """Scores of ten classes in which only the target and its successor are possible, and the target has these log-odds."""
    scores = torch.full((len(odds), 10), -torch.inf).scatter(1, ((target + 1) % 10)[:, None], 0.0)
    return scores.scatter(1, target[:, None], odds[:, None])


def alpha_by_loops(activation, gradient):
    """Equation 19 for Y = exp(S): Y'' = Y g^2 and Y''' = Y g^3, one entry after the other."""
    alpha = np.zeros_like(activation)
    n_images, n_features, height, width = activation.shape
    for n in range(n_images):
        for k in range(n_features):
            total = sum(activation[n, k, a, b] for a in range(height) for b in range(width))
            for i in range(height):
                for j in range(width):
                    g = gradient[n, k, i, j]
                    denominator = 2 * g**2 + total * g**3
                    alpha[n, k, i, j] = g**2 / denominator if denominator != 0 else 0.0
    return alpha


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 30.0]))
def test_grad_cam_pp_alpha_equals_the_closed_form(seed, scale):
    rng = np.random.default_rng(seed)
    activation = np.maximum(rng.normal(size=(2, 3, 2, 2)), 0)
    gradient = scale * rng.normal(size=activation.shape)
    gradient[0, 0] = 0.0
    found = grad_cam_pp_alpha(torch.from_numpy(activation), torch.from_numpy(gradient)).numpy()
    np.testing.assert_allclose(found, alpha_by_loops(activation, gradient), rtol=1e-6)


def test_grad_cam_pp_alpha_is_zero_where_its_denominator_vanishes():
    activation, gradient = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), -1.0)
    assert grad_cam_pp_alpha(activation, gradient).item() == 0.0


@pytest.mark.parametrize("scale", [1e-12, 1e-4])
def test_grad_cam_pp_alpha_of_small_gradients_is_one_half(scale):
    gradient = scale * torch.ones(1, 1, 2, 2, dtype=torch.float64)
    alpha = grad_cam_pp_alpha(torch.ones(1, 1, 2, 2, dtype=torch.float64), gradient)
    torch.testing.assert_close(alpha, torch.full_like(alpha, 0.5), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("layer", ["layer1", "layer3"])
def test_grad_cam_pp_weights_activations_by_alpha_and_positive_gradients(few, name, layer):
    problem = problem_of(few, name)
    kept = {}
    hook = getattr(few.encoder.backbone, layer).register_forward_hook(lambda module, given, output: kept.update(output=output))
    odds = problem.log_odds(problem.inputs, problem.rows)
    hook.remove()
    (gradient,) = torch.autograd.grad(odds.sum(), kept["output"])
    activation, gradient = kept["output"].detach().double().numpy(), gradient.double().numpy()
    weight = (alpha_by_loops(activation, gradient) * np.maximum(gradient, 0)).sum(axis=(2, 3))
    coarse = torch.from_numpy(np.maximum(np.einsum("nk,nkij->nij", weight, activation), 0))[:, None]
    expected = functional.interpolate(coarse, size=16, mode="bilinear", align_corners=False).float()
    found = cam(problem, "grad_cam_pp", layer)
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=2e-3 * float(expected.max()))
    assert float(found.max()) > 0


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_pp", "guided_grad_cam"])
def test_unknown_layer_is_refused_with_the_known_ones(few, method):
    with pytest.raises(ClxaiError, match=r"layer 'layer9'.*Known: last, layer1, layer2, layer3, layer4"):
        cam(problem_of(few, "softmax"), method, "layer9")
