import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.attribution.base import layer_of
from clxai.attribution.cams import first_component, grad_cam_pp_alpha
from clxai.errors import ClxaiError
from clxai.registry import declared, load
from hypothesis import given, settings
from hypothesis import strategies as st
from project import problem_of
from pytorch_grad_cam import AblationCAM, GradCAM, HiResCAM, LayerCAM
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


class _AtLayerResolution:
    """Makes the package's methods leave out their resizing (OpenCV, other borders), min-max scaling and ReLU."""

    def compute_cam_per_layer(self, input_tensor, targets, eigen_smooth):
        layers = self.activations_and_grads
        gradient = layers.gradients[0].numpy() if self.uses_gradients else None
        (activation,), (layer,) = layers.activations, self.target_layers
        given = activation if isinstance(self, AblationCAM) else activation.numpy()
        return self.get_cam_image(input_tensor, layer, targets, given, gradient, eigen_smooth)

    def aggregate_multi_layers(self, cam_per_target_layer):
        return cam_per_target_layer


def of_package(method, problem, layer, n_images):
    """The package's maps of the first images at the resolution of the layer, without ReLU."""
    kind, model = type("Bare", (_AtLayerResolution, method), {}), _LogOdds(problem)
    with kind(model, [getattr(model.backbone, layer)]) as package:
        return torch.from_numpy(package(problem.inputs[:n_images], [lambda output: output[0]] * n_images))[:, None]


def to_image(coarse):
    return functional.interpolate(coarse.float(), size=16, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(("method", "package"), [("grad_cam", GradCAM), ("layer_cam", LayerCAM), ("hires_cam", HiResCAM)])
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("layer", LAYERS)
def test_cams_equal_those_of_the_grad_cam_package(few, name, layer, method, package):
    problem = problem_of(few, name)
    reference = of_package(package, problem, layer, len(few.images))
    expected = to_image(reference if method == "hires_cam" else reference.relu())
    assert expected.amax(dim=(1, 2, 3)).count_nonzero() > 0
    torch.testing.assert_close(cam(problem, method, layer), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_hires_cam_of_an_affine_target_behind_a_spatial_mean_adds_up_to_it(few):
    """Its claim: where only a mean and a dense layer follow, each position has what it adds to the score."""
    problem = problem_of(few, "softmax")
    slope = torch.linspace(-1, 1, few.embeddings.shape[1])
    affine = replace(problem, frozen=lambda points, rows: scores_with_odds(points @ slope, problem.target[rows]))
    total = cam(affine, "hires_cam", "layer4").mean(dim=(1, 2, 3)) * 4  # bilinear interpolation keeps the mean of 2 x 2
    torch.testing.assert_close(total, few.embeddings @ slope, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_eigen_cam_is_the_first_component_by_numpy_with_a_sum_above_zero(few, layer):
    problem, kept = problem_of(few, "linear"), activation_of(few, layer)
    for image, found in zip(kept.double().numpy(), cam(problem, "eigen_cam", layer), strict=True):
        positions = image.reshape(len(image), -1).T
        projected = positions @ np.linalg.svd(positions, full_matrices=False)[2][0]
        expected = torch.from_numpy(np.sign(projected.sum()) * projected).view(1, 1, *image.shape[1:])
        assert expected.min() > -1e-6, "activations after a ReLU have no negative first component"
        torch.testing.assert_close(found[None], to_image(expected), rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_first_component_of_a_product_is_its_spatial_factor_whatever_the_sign_of_the_other():
    place, feature = torch.rand(2, 1, 3, 4), torch.randn(2, 5, 1, 1)
    expected = place * feature.norm(dim=1, keepdim=True)
    torch.testing.assert_close(first_component(place * feature), expected)
    torch.testing.assert_close(first_component(-place * feature), expected)
    assert not first_component(torch.zeros(1, 3, 2, 2)).any()


def activation_of(run, layer):
    kept = {}
    hook = layer_of(run.encoder, layer).register_forward_hook(lambda module, given, output: kept.update(output=output))
    run.encoder.backbone(problem_of(run, "linear").inputs.detach())
    hook.remove()
    return kept["output"]


def without_channel(problem, layer, channel):
    """The log-odds of the images with one channel of a layer set to 0, by a full pass through the network."""

    def zeroed(module, given, output):
        left = output.clone()
        left[:, channel] = 0
        return left

    hook = layer_of(problem.encoder, layer).register_forward_hook(zeroed)
    with torch.no_grad():
        found = problem.log_odds(problem.inputs, problem.rows)
    hook.remove()
    return found


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("layer", ["layer2", "layer4"])
def test_ablation_cam_weighs_channels_by_what_is_lost_without_them(few, name, layer):
    problem, kept = problem_of(few, name), activation_of(few, layer)
    with torch.no_grad():
        intact = problem.log_odds(problem.inputs, problem.rows)
    weights = torch.stack([intact - without_channel(problem, layer, channel) for channel in range(kept.shape[1])], dim=1)
    expected = to_image(torch.einsum("nk,nkij->nij", weights, kept)[:, None].relu())
    found = cam(problem, "ablation_cam", layer)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))
    assert float(found.max()) > 0


@pytest.mark.parametrize("name", ["softmax", "linear"])
def test_ablation_cam_equals_that_of_the_grad_cam_package_but_for_its_division_by_the_log_odds(few, name):
    """The package makes up to 32 copies of one image and cannot say whose they are: here all rows are of that image."""
    problem = problem_of(few.at(few.index[[0] * 32].numpy()), name)
    with torch.no_grad():
        intact = float(problem.log_odds(problem.inputs[:1], problem.rows[:1]))
    expected = to_image((of_package(AblationCAM, problem, "layer3", 1) * intact).relu())
    assert float(expected.max()) > 0
    found = cam(problem_of(few, name), "ablation_cam", "layer3")[:1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))


def test_ablation_cam_refuses_a_layer_that_another_path_bridges(few):
    bridged = copy.deepcopy(few.encoder)
    block = bridged.backbone.layer3[0]
    bridged.backbone.layer3[0] = _Bridge(block)
    run = replace(few, encoder=bridged)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clxai.attribution.ablating.layer_of", lambda encoder, name: block)
        with pytest.raises(ClxaiError, match="not all that the network computes passes through the layer 'layer3'"):
            cam(problem_of(run, "softmax"), "ablation_cam", "layer3")


class _Bridge(nn.Module):
    """A module, and what it is given added to what it makes."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, inputs):
        made = self.inner(inputs)
        return made + inputs.mean()


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


CAMS = [name for name, entry in declared("methods").items() if "cam" in entry.semantics["families"]]


@pytest.mark.parametrize("method", CAMS)
def test_unknown_layer_is_refused_with_the_known_ones(few, method):
    with pytest.raises(ClxaiError, match=r"layer 'layer9'.*Known: last, layer1, layer2, layer3, layer4"):
        cam(problem_of(few, "softmax"), method, "layer9")
