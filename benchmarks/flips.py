"""The flipping engine against the bare forward passes of as many images, and against Quantus."""

import math
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import torch
from clxai.flipping.engine import Flipping, flip
from clxai.flipping.observing import Observer
from clxai.networks.inference import Encoder, prepared_for_flipping
from torch import Tensor, nn

from benchmarks import problems
from benchmarks.measuring import Comparison, Setting, by_turns

BATCH = 128
STEPS = 16
FILLS = (("mean", 1.10), ("blur", 1.20), ("noise", 1.20))
_AGREEMENT = 1e-5  # of two probabilities


def forward_passes(backbone: nn.Module, images: Tensor, n_images: int) -> None:
    """Embed `n_images` images, batch by batch."""
    with torch.no_grad():
        for start in range(0, n_images, len(images)):
            backbone(images[: min(len(images), n_images - start)])


def run_through(encoder: Encoder, observer: Observer, images: Tensor, rank: Tensor, plan: Flipping) -> None:
    """Run the engine to its end."""
    for _ in flip(encoder, observer, images, torch.arange(len(images), device=images.device), rank, plan):
        pass


def against_forward(setting: Setting, problem: problems.Problem, fill: str, bar: float, precision: str) -> Comparison:
    """Flip two orders of each image, all heads and all quantities recorded, beside the forward passes alone."""
    setting.use_threads(problem.threads)
    encoder = problems.encoder_of(problem, setting.device)
    images = problems.images_of(problem, setting.size(problem.n_flipped), setting.device)
    heads = problems.heads_of(encoder, problem)
    observer = problems.observer_for(encoder, problem, images, heads)
    encoder = prepared_for_flipping(encoder, precision)
    plan = problems.flipping_of(problem, (fill,), STEPS, setting.batch(BATCH), precision)
    rank = problems.ranks_of(problem, 1, len(images), setting.device)
    per_image = 2 * len(rank) * (plan.counts.shape[1] - 2)
    n_forward = len(images) * (2 + per_image)
    bare = encoder.normalise(problems.images_of(problem, plan.batch_size, setting.device)).to(plan.dtype)
    bare = bare.contiguous(memory_format=torch.channels_last)
    seconds = by_turns(
        {
            "ours": lambda: run_through(encoder, observer, images, rank, plan),
            "peer": lambda: forward_passes(encoder.backbone, bare, n_forward),
        },
        setting,
    )
    return Comparison(
        name=f"flip, {fill}, {precision}, {problem.name}",
        against="bare forward passes",
        **seconds,
        at_most=bar,
        note=f"{n_forward} images, both orders, {len(heads)} heads, drift, bank of {problem.n_bank}",
        facts={"images per second": n_forward / float(np.median(seconds["ours"]))},
    )


class _Classifier(nn.Module):
    """A network from normalised images to logits, as other tools expect one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits."""
        return self.network.top(self.network.backbone(inputs))


def against_quantus(setting: Setting) -> Comparison:
    """Flip whole pixels in both orders for one head, beside two calls of Quantus' PixelFlipping that must give equal curves."""
    import quantus

    problem, n_steps = problems.GREY, 32
    setting.use_threads(problem.threads)
    network = problems.network_of(problem, setting.device)
    encoder = Encoder(network)
    images = problems.images_of(problem, setting.size(8), setting.device)
    head = {"softmax": problems.heads_of(encoder, problem)["softmax"]}
    observer = problems.observer_for(encoder, problem, images, head)
    rank = problems.ranks_of(problem, 1, len(images), setting.device)
    plan = problems.flipping_of(problem, ("mean",), n_steps, setting.batch(BATCH))
    encoder = prepared_for_flipping(encoder, "float32")
    model = _Classifier(network).to(memory_format=torch.contiguous_format).eval()
    inputs = network.normalise(images.contiguous()).cpu().numpy()
    metric = quantus.PixelFlipping(
        features_in_step=math.prod(problem.shape) // n_steps, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )

    def peer() -> list[np.ndarray]:
        maps = -rank[0].reshape(inputs.shape).float().cpu().numpy()
        call = {"model": model, "x_batch": inputs, "y_batch": observer.targets[0].cpu().numpy(), "channel_first": True}
        return [np.array(metric(a_batch=sign * maps, device=str(setting.device), **call)) for sign in (1, -1)]

    index = torch.arange(len(images), device=setting.device)
    difference = 0.0
    theirs = peer()
    for (_, _, order, group), quantities, _ in flip(encoder, observer, images, index, rank, plan):
        own = quantities["probability"][0, :, 1:].cpu().numpy()
        difference = max(difference, float(np.abs(own - theirs[order][group]).max()))
    if difference > _AGREEMENT:
        raise AssertionError(f"the curves differ from Quantus' by {difference:.2g}")
    contestants = {"ours": lambda: run_through(encoder, observer, images, rank, plan), "peer": peer}
    return Comparison(
        name=f"flip, one head, whole pixels, {problem.name}",
        against=f"Quantus {quantus.__version__} PixelFlipping",
        **by_turns(contestants, setting),
        at_least=10.0,
        note=f"{len(images)} images x {n_steps} steps x 2 orders; curves equal to {difference:.1g} after the clean point, "
        "which Quantus leaves out",
    )


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons of the engine."""
    for problem in (problems.SMALL, problems.FULL):
        for fill, bar in FILLS:
            yield against_forward(setting, problem, fill, bar, "float32")
    yield against_forward(setting, problems.FULL, "mean", 1.10, "bfloat16")
    if find_spec("quantus"):
        yield against_quantus(setting)
    else:
        print("skipped: Quantus is not installed (pip install quantus)", flush=True)
