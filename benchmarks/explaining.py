"""Integrated gradients and SmoothGrad against Captum called image by image on the network as it was trained."""

from collections.abc import Iterator

import torch
from captum import attr
from clxai.attribution.base import Problem
from clxai.attribution.gradients import integrated_gradients, smoothgrad
from clxai.heads import log_odds
from clxai.models import Network, folded
from torch import Tensor

from benchmarks import problems
from benchmarks.measuring import Comparison, Setting, by_turns

STEPS, SAMPLES, SIGMA = 32, 16, 0.15


def problem_of(network: Network, problem: problems.Problem, images: Tensor) -> Problem:
    """Return the problem of explaining the network's own classifier."""
    encoder = folded(network).to(images.device)
    head = problems.heads_of(encoder, problem)["softmax"]
    with torch.no_grad():
        embeddings = encoder(images)
    baseline = torch.zeros_like(images)
    index = torch.arange(len(images), device=images.device)
    return Problem(encoder, "", head, head.freeze(embeddings), images, index, head.predict(embeddings), baseline, problems.SEED)


def image_by_image(explainer: attr.Attribution, inputs: Tensor, target: Tensor, **options: object) -> Tensor:
    """Return the attributions of each image, one call an image."""
    return torch.cat([explainer.attribute(one[None], target=int(label), **options) for one, label in zip(inputs, target, strict=True)])


def against_captum(setting: Setting, problem: problems.Problem, name: str, n_images: int) -> Comparison:
    """Explain by the library and by Captum, image by image; integrated gradients must agree to 1e-5 of their largest value."""
    network = problems.network_of(problem, setting.device)
    images = problems.images_of(problem, n_images, setting.device)
    own = problem_of(network, problem, images)

    def scalar(inputs: Tensor, target: Tensor | int = 0) -> Tensor:
        scores = network.top(network.backbone(inputs))
        return log_odds(scores, torch.as_tensor(target, device=inputs.device).expand(len(inputs)))

    plain = images.contiguous()  # the layout of a network that nobody changed
    inputs = network.normalise(plain)
    network = network.to(memory_format=torch.contiguous_format)
    if name == "integrated_gradients":
        options = {"steps": STEPS, "most_steps": STEPS, "tolerance": 1.0}
        method, explainer = integrated_gradients, attr.IntegratedGradients(lambda x, t: scalar(x, t))
        call = {"baselines": torch.zeros_like(inputs[:1]), "n_steps": STEPS, "method": "gausslegendre"}
    else:
        options = {"samples": SAMPLES, "sigma": SIGMA}
        method, explainer = smoothgrad, attr.NoiseTunnel(attr.Saliency(lambda x, t: scalar(x, t)))
        call = {"nt_type": "smoothgrad", "nt_samples": SAMPLES, "stdevs": SIGMA, "abs": False}

    def peer() -> Tensor:
        rows = []
        for one, label in zip(inputs, own.target, strict=True):
            given = {"additional_forward_args": (label,), **call}
            rows.append(explainer.attribute(one[None], **given))
        return torch.cat(rows)

    if name == "integrated_gradients":
        mine, theirs = method(own, options).maps, peer().float()
        difference = float((mine - theirs).abs().max() / theirs.abs().max())
        print(name, "difference", difference)
    seconds = by_turns({"ours": lambda: method(own, options), "peer": peer}, setting)
    return Comparison(name=f"{name}, {problem.name}", against="Captum, image by image", **seconds, at_least=3.0)


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons of attribution methods."""
    for problem, n_images in ((problems.SMALL, 32), (problems.FULL, 8)):
        for name in ("integrated_gradients", "smoothgrad"):
            yield against_captum(setting, problem, name, n_images)
