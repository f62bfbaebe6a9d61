"""Integrated gradients and SmoothGrad against Captum called image by image, and against their own forward and backward passes."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from captum import attr
from clxai.attribution.base import Problem
from clxai.attribution.gradients import integrated_gradients, smoothgrad
from clxai.heads.base import log_odds
from clxai.keys import key_of
from clxai.networks.inference import Encoder
from clxai.networks.models import Network
from clxai.randomness import keyed_normal
from clxai.runtime.memory import at_once
from torch import Tensor

from benchmarks import problems
from benchmarks.measuring import Comparison, Setting, by_turns

Logits = Callable[[Tensor], Tensor]
STEPS, SAMPLES, SIGMA = 32, 16, 0.15
_AGREEMENT = 1e-5  # of the largest value, in float64: in float32 a ReLU at zero may open or close by rounding alone
METHODS = {
    "integrated_gradients": (integrated_gradients, {"steps": STEPS, "most_steps": STEPS, "tolerance": 1.0}, STEPS),
    "smoothgrad": (smoothgrad, {"samples": SAMPLES, "sigma": SIGMA}, SAMPLES),
}


def problem_of(network: Network, problem: problems.Problem, images: Tensor) -> Problem:
    """Return the problem of explaining the network's own classifier."""
    encoder = Encoder(network)
    head = problems.heads_of(encoder, problem)["softmax"]
    with torch.no_grad():
        embeddings = encoder(images)
    index = torch.arange(len(images), device=images.device)
    frozen, target = head.freeze(embeddings), head.predict(embeddings)
    return Problem(encoder, "", head, frozen, images, index, target, torch.zeros_like(images), problems.SEED)


def in_float64(own: Problem) -> Problem:
    """Return the same problem in float64."""
    encoder, head = copy.deepcopy(own.encoder).double(), copy.deepcopy(own.head).double()
    images, baseline = own.images.double(), own.baseline.double()
    frozen = head.freeze(encoder(images))
    return replace(own, encoder=encoder, head=head, frozen=frozen, images=images, baseline=baseline)


def captum_of(name: str, logits: Logits, inputs: Tensor, targets: Tensor) -> Callable[[], Tensor]:
    """Return Captum's method, one call an image."""

    def scalar(rows: Tensor, target: Tensor) -> Tensor:
        return log_odds(logits(rows), target.expand(len(rows)))

    if name == "integrated_gradients":
        explainer = attr.IntegratedGradients(scalar)
        call = {"baselines": torch.zeros_like(inputs[:1]), "n_steps": STEPS, "method": "gausslegendre"}
    else:
        explainer = attr.NoiseTunnel(attr.Saliency(scalar))
        call = {"nt_type": "smoothgrad", "nt_samples": SAMPLES, "stdevs": SIGMA, "abs": False}

    def image_by_image() -> Tensor:
        pairs = zip(inputs.split(1), targets, strict=True)
        return torch.cat([explainer.attribute(one, additional_forward_args=(target,), **call) for one, target in pairs])

    return image_by_image


def same_noise(logits: Logits, own: Problem) -> Tensor:
    """Return the mean of Captum's saliency over the noise that the library draws, image by image."""
    inputs, key = own.inputs.detach(), key_of("smoothgrad", own.seed)
    explainer = attr.Saliency(lambda rows, target: log_odds(logits(rows), target.expand(len(rows))))
    means = []
    for number, (image, target) in enumerate(zip(inputs.split(1), own.target, strict=True)):
        sample = torch.arange(SAMPLES, device=image.device)
        noise = keyed_normal(key, own.index[number] + (sample << 40), image.numel()).view(SAMPLES, *image.shape[1:])
        noisy = image + SIGMA * (image.amax() - image.amin()) * noise.to(image)
        means.append(explainer.attribute(noisy.requires_grad_(True), abs=False, additional_forward_args=(target,)).mean(0))
    return torch.stack(means)


def agreement(name: str, own: Problem) -> float:
    """Return how far both are apart, as a share of the largest value. Raises AssertionError if by more than 1e-5."""
    method, options, _ = METHODS[name]
    exact = in_float64(own)

    def logits(rows: Tensor) -> Tensor:
        return exact.head(exact.encoder.backbone(rows))

    inputs = exact.inputs.detach()
    theirs = same_noise(logits, exact) if name == "smoothgrad" else captum_of(name, logits, inputs, own.target)()
    difference = float((method(exact, options).maps - theirs).abs().max() / theirs.abs().max())
    if difference > _AGREEMENT:
        raise AssertionError(f"{name} differs from Captum's by {difference:.2g} of its largest value")
    return difference


def passes(own: Problem, n_copies: int) -> Callable[[], None]:
    """Return the forward and backward passes of as many copies of the images, in the batches of the library."""
    inputs = own.inputs.detach()
    rows = torch.arange(n_copies * len(inputs), device=inputs.device) % len(inputs)

    def run() -> None:
        for part in rows.split(at_once("copies", inputs.shape) // len(inputs) * len(inputs)):
            copies = inputs[part].requires_grad_(True)
            torch.autograd.grad(own.log_odds(copies, part).sum(), copies)

    return run


def compare_method(setting: Setting, problem: problems.Problem, name: str, n_images: int) -> Iterator[Comparison]:
    """Yield one method beside Captum and beside its own passes."""
    setting.use_threads(problem.threads)
    network = problems.network_of(problem, setting.device)
    images = problems.images_of(problem, n_images, setting.device)
    own = problem_of(network, problem, images)
    few = {"images": images[:4], "index": own.index[:4], "target": own.target[:4], "baseline": own.baseline[:4]}
    difference = agreement(name, replace(own, **few))
    method, options, n_copies = METHODS[name]
    usual = network.to(memory_format=torch.contiguous_format)
    inputs = usual.normalise(images.contiguous())
    contestants: Mapping[str, Callable[[], object]] = {
        "ours": lambda: method(own, options),
        "peer": captum_of(name, lambda rows: usual.top(usual.backbone(rows)), inputs, own.target),
        "floor": passes(own, n_copies),
    }
    seconds = by_turns(contestants, setting)
    words = f"{name}, {problem.name}"
    note = f"{n_images} images x {n_copies} copies; equal to {difference:.1g} of the largest value in float64"
    yield Comparison(words, "Captum, image by image", seconds["ours"], seconds["peer"], at_least=3.0, note=note)
    yield Comparison(words, "forward + backward of as many copies", seconds["ours"], seconds["floor"], at_most=1.10)


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons of attribution methods."""
    for problem, n_images in ((problems.SMALL, 16), (problems.FULL, 4)):
        for name in METHODS:
            yield from compare_method(setting, problem, name, setting.size(n_images))
