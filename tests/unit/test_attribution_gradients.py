import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum import attr
from clxai.attribution.explaining import explain
from clxai.fills.base import fill_images, fill_of
from clxai.keys import key_of
from clxai.networks.models import load_network
from clxai.randomness import keyed_normal
from clxai.registry import load
from project import affine_problem, problem_of
from torch import nn
from torch.nn import functional

HEADS = ["softmax", "linear", "knn", "mahalanobis"]


@pytest.fixture(scope="module")
def few(tiny_run):
    return tiny_run.at(tiny_run.index[:5].numpy())


def explained(run, method, head, options=None, seed=0):
    """The map of one head, computed as the workflow computes it."""
    return explain(run, method, options or {}, seed)["attribution"].sel(head=head).values


def softmax_gradient(run):
    """Gradient of the softmax head's log-odds in float64, through the unfolded network and nothing else."""
    network = load_network(run.checkpoint, torch.device("cpu")).double()
    inputs = network.normalise(run.images.double()).requires_grad_(True)
    logits = network.top(network.backbone(inputs))
    target = logits.argmax(1)
    total = 0.0
    for row, own in zip(logits, target.tolist(), strict=True):
        others = [row[c] for c in range(len(row)) if c != own]
        total = total + row[own] - torch.stack(others).exp().sum().log()
    (gradient,) = torch.autograd.grad(total, inputs)
    return inputs.detach(), gradient


def test_saliency_is_the_magnitude_of_the_gradient(few):
    _, gradient = softmax_gradient(few)
    np.testing.assert_allclose(explained(few, "saliency", "softmax"), gradient.abs().sum(1), rtol=1e-3, atol=1e-5)


def test_input_x_gradient_is_the_product_with_the_normalised_input(few):
    inputs, gradient = softmax_gradient(few)
    found = explained(few, "input_x_gradient", "softmax")
    np.testing.assert_allclose(found, (inputs * gradient).sum(1), rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def integrated(tiny_run):
    return explain(tiny_run, "integrated_gradients", {}, 0)


@pytest.mark.parametrize("name", HEADS)
def test_integrated_gradients_are_complete(tiny_run, integrated, name):
    problem = problem_of(tiny_run, name)
    with torch.no_grad():
        mean = torch.full_like(tiny_run.images, tiny_run.data.mean[0])
        baseline = tiny_run.encoder.normalise(mean)
        difference = problem.log_odds(problem.inputs, problem.rows) - problem.log_odds(baseline, problem.rows)
    maps, difference = integrated["attribution"].sel(head=name).values, difference.numpy()
    scale = np.maximum(np.abs(difference), np.abs(maps).sum(axis=(1, 2)))
    error = np.abs(maps.sum(axis=(1, 2)) - difference) / scale
    assert np.median(error) <= 0.01
    np.testing.assert_allclose(integrated["completeness_error"].sel(head=name), error, atol=2e-3)


def test_integrated_gradients_double_their_steps_until_the_tolerance_holds(few):
    result = explain(few, "integrated_gradients", {"steps": 2, "tolerance": 0.05}, 0)
    steps = result["n_steps"].values[:, 0]
    assert (np.median(result["completeness_error"].values, axis=1) <= 0.05).all()
    assert (steps > 2).any()
    assert (np.log2(steps) % 1 == 0).all()


def test_integrated_gradients_stop_at_the_most_steps_and_report_the_error(few):
    result = explain(few, "integrated_gradients", {"steps": 1, "most_steps": 3, "tolerance": 1e-9}, 0)
    assert (result["n_steps"] == 2).all()
    assert (np.median(result["completeness_error"].values, axis=1) > 1e-9).all()


@pytest.fixture
def affine():
    return affine_problem()


@pytest.mark.parametrize("steps", [1, 7])
def test_integrated_gradients_of_an_affine_target_are_exact_with_any_number_of_steps(affine, steps):
    problem, slope = affine
    options = {"steps": steps, "most_steps": 1024, "tolerance": 0.01}
    result = load("methods", "integrated_gradients").definition(problem, options)
    expected = (problem.inputs.detach() - problem.baseline) * slope
    torch.testing.assert_close(result.maps, expected, rtol=1e-4, atol=1e-5)
    assert (result.extras["n_steps"] == steps).all()


def test_integrated_gradients_are_complete_where_the_log_odds_do_not_differ(affine):
    """Evidence for and against cancels: the sum is 0 up to rounding, and no number of steps would make it more so."""
    problem, slope = affine
    step = problem.inputs.detach() - problem.baseline
    along = (step * slope).sum((1, 2, 3), keepdim=True) / slope.square().sum((1, 2, 3), keepdim=True)
    level = replace(problem, baseline=problem.baseline + (1 - 1e-5) * along * slope)
    result = load("methods", "integrated_gradients").definition(level, {"steps": 4, "most_steps": 1024, "tolerance": 1e-3})
    assert result.maps.sum((1, 2, 3)).abs().max() < 1e-3
    assert (result.extras["completeness_error"] < 1e-5).all()
    assert (result.extras["n_steps"] == 4).all()


AFFINE = {
    "saliency": lambda slope, inputs: slope,
    "input_x_gradient": lambda slope, inputs: inputs * slope,
    "smoothgrad": lambda slope, inputs: slope,
    "smoothgrad_sq": lambda slope, inputs: slope**2,
}


@pytest.mark.parametrize("method", AFFINE)
def test_gradient_methods_of_an_affine_target_are_made_of_its_slope(affine, method):
    problem, slope = affine
    options = {"samples": 3, "sigma": 0.2} if "smoothgrad" in method else {}
    expected = AFFINE[method](slope, problem.inputs.detach())
    torch.testing.assert_close(load("methods", method).definition(problem, options).maps, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_smoothgrad_without_noise_is_saliency(few, name):
    smooth = explained(few, "smoothgrad", name, {"samples": 2, "sigma": 1e-7})
    plain = explained(few, "saliency", name)
    np.testing.assert_allclose(smooth, plain, rtol=1e-3, atol=1e-3 * plain.max())


def test_smoothgrad_depends_on_the_seed(few):
    first, again, other = (explained(few, "smoothgrad", "linear", {"samples": 4}, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3 * first.max()


def test_smoothgrad_noise_is_a_share_of_the_range_of_the_normalised_values_of_each_image(affine):
    """All but two values of each image are equal, so that range and standard deviation are far apart."""
    problem, _ = affine
    images = torch.full((3, 2, 16, 16), 0.5)
    images[:, 0, 0, 0] += torch.tensor([0.1, 0.3, 0.5])
    images[:, 1, 0, 0] -= torch.tensor([0.2, 0.1, 0.5])
    seen = []

    class Spy(type(problem)):
        def log_odds(self, inputs, rows):
            seen.append((inputs.detach(), rows))
            return super().log_odds(inputs, rows)

    fields = {name: getattr(problem, name) for name in problem.__dataclass_fields__}
    noisy = Spy(**{**fields, "images": images})
    load("methods", "smoothgrad").definition(noisy, {"samples": 40, "sigma": 0.15})
    inputs, rows = (torch.cat(parts) for parts in zip(*seen, strict=True))
    clean = (images - 0.3) / 0.5
    assert len(rows) == 3 * 40
    for row, spread in enumerate([0.3 / 0.5, 0.4 / 0.5, 1.0 / 0.5]):
        noise = inputs[rows == row] - clean[row]
        assert noise.std().item() == pytest.approx(0.15 * spread, rel=0.03)
        assert abs(noise.mean().item()) < 0.05 * spread * 0.15
        assert np.abs(np.corrcoef(noise.flatten(1))[np.triu_indices(40, 1)]).max() < 0.3  # every copy draws its own


@pytest.mark.parametrize("name", ["softmax", "knn"])
def test_smoothgrad_sq_equals_captums_noise_tunnel_given_the_same_noise(few, name, monkeypatch):
    """Captum draws by the global generator: here its draws are replaced by ours."""
    problem, samples = problem_of(few, name), 4
    n_images, inputs = len(few.images), problem.inputs.detach()
    copies = few.index.repeat_interleave(samples) + (torch.arange(samples).repeat(n_images) << 40)
    noise = keyed_normal(key_of("smoothgrad", 0), copies, inputs[0].numel()).view(-1, *inputs.shape[1:]).float()
    spread = 0.15 * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3))).repeat_interleave(samples)
    tunnel = attr.NoiseTunnel(attr.Saliency(lambda rows, owner: problem.log_odds(rows, owner)))
    monkeypatch.setattr(torch, "normal", lambda *given: spread[:, None, None, None] * noise)
    expected = tunnel.attribute(
        problem.inputs, "smoothgrad_sq", nt_samples=samples, stdevs=1.0, abs=False, additional_forward_args=(problem.rows,)
    )
    found = explained(few, "smoothgrad_sq", name, {"samples": samples})
    np.testing.assert_allclose(found, expected.sum(dim=1), rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_smoothgrad_leaves_the_global_generator_alone(few):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    explained(few, "smoothgrad", "linear", {"samples": 2})
    torch.testing.assert_close(torch.rand(3), expected)


class _GuidedReLU(torch.autograd.Function):
    """ReLU whose gradient is passed only where input and gradient are both positive [Springenberg et al. 2015]."""

    @staticmethod
    def forward(ctx, inputs):
        ctx.save_for_backward(inputs)
        return inputs.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (inputs,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (inputs > 0)


class _Guided(nn.Module):
    def forward(self, inputs):
        return _GuidedReLU.apply(inputs)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("layer", ["layer2", "layer4"])
def test_guided_grad_cam_is_guided_backpropagation_times_grad_cam(few, name, layer):
    guided = copy.deepcopy(few.encoder)
    for module in list(guided.backbone.modules()):
        for child, activation in module.named_children():
            if isinstance(activation, nn.ReLU):
                setattr(module, child, _Guided())
    problem = problem_of(few, name)
    inputs = problem.inputs
    points = few.heads[name].points(guided.backbone(inputs))
    (gradient,) = torch.autograd.grad(problem.point_log_odds(points, problem.rows).sum(), inputs)
    cam = torch.from_numpy(explained(few, "grad_cam", name, {"layer": layer}))
    expected = (gradient * cam[:, None]).sum(1)
    found = explained(few, "guided_grad_cam", name, {"layer": layer})
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert np.abs(found).max() > 0


@pytest.mark.parametrize("fill", ["zero", "blur"])
def test_integrated_gradients_start_from_the_configured_baseline(few, fill):
    result = explain(few, "integrated_gradients", {"baseline": fill, "steps": 256, "most_steps": 256}, 0)
    problem = problem_of(few, "softmax")
    filled = fill_images(fill_of(fill), few.images, few.encoder.mean, few.index, 0)
    with torch.no_grad():
        start = problem.log_odds(few.encoder.normalise(filled), problem.rows)
        difference = (problem.log_odds(problem.inputs, problem.rows) - start).numpy()
    total = result["attribution"].sel(head="softmax").values.sum(axis=(1, 2))
    assert np.median(np.abs(total - difference) / np.abs(difference)) < 0.02


def test_gradients_flow_through_the_norm_of_unit_heads(few):
    problem = problem_of(few, "linear")
    embeddings = few.encoder.backbone(problem.inputs).detach().requires_grad_(True)
    odds = problem.point_log_odds(functional.normalize(embeddings, dim=1), problem.rows).sum()
    (gradient,) = torch.autograd.grad(odds, embeddings)
    inputs = problem.inputs
    (expected,) = torch.autograd.grad(few.encoder.backbone(inputs), inputs, gradient)
    np.testing.assert_allclose(explained(few, "saliency", "linear"), expected.abs().sum(1), rtol=1e-3, atol=1e-5)
