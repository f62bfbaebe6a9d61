"""Fills that see the mask: linear imputation inside `flip` beside the mean fill, and beside the package that publishes it."""

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import torch
from clxai.fills.base import fill_images, fill_of
from clxai.networks.inference import prepared_for_flipping
from torch import Tensor

from benchmarks import problems
from benchmarks.flips import BATCH, STEPS, run_through
from benchmarks.measuring import Comparison, Setting, by_turns

_AGREEMENT = 1e-4  # of a pixel


def against_mean(setting: Setting, problem: problems.Problem) -> Comparison:
    """Flip both orders of each image, all heads and all quantities recorded, with each of the two fills."""
    setting.use_threads(problem.threads)
    encoder = problems.encoder_of(problem, setting.device)
    images = problems.images_of(problem, setting.size(problem.n_flipped), setting.device)
    observer = problems.observer_for(encoder, problem, images, problems.heads_of(encoder, problem))
    encoder, rank = prepared_for_flipping(encoder, "float32"), problems.ranks_of(problem, 1, len(images), setting.device)
    plans = {
        who: problems.flipping_of(problem, (fill,), STEPS, setting.batch(BATCH))
        for who, fill in (("ours", "linear"), ("peer", "mean"))
    }
    contestants = {who: lambda plan=plan: run_through(encoder, observer, images, rank, plan) for who, plan in plans.items()}
    return Comparison(
        name=f"flip, linear, float32, {problem.name}", against="flip, mean", **by_turns(contestants, setting), at_most=1.5
    )


def masks_of(problem: problems.Problem, n_images: int, device: torch.device) -> Tensor:
    """Return what is gone at each inner step of a random order of each image [image and step, y, x]."""
    plan = problems.flipping_of(problem, ("linear",), STEPS, BATCH)
    rank = problems.ranks_of(problem, 1, n_images, device)[0].repeat_interleave(STEPS - 1, dim=0)
    counts = plan.counts[0, 1:-1].to(device).repeat(n_images)
    return plan.cut.masks(rank, counts, torch.arange(n_images, device=device).repeat_interleave(STEPS - 1))


def against_package(setting: Setting, problem: problems.Problem) -> Comparison:
    """Impute every step of some images, beside the imputer of pytorch-grad-cam, which must give equal pixels without noise."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    setting.use_threads(problem.threads)
    n_images = setting.size(1 if problem is problems.LARGE else 8)
    removed = masks_of(problem, n_images, setting.device)
    index = torch.arange(n_images, device=setting.device).repeat_interleave(STEPS - 1)
    images = problems.images_of(problem, n_images, setting.device)[index].contiguous()
    mean = images.mean(dim=(0, 2, 3)).view(-1, 1, 1)
    pairs = list(zip(images.cpu(), (~removed).float().cpu(), strict=True))

    def ours(noise: float = 0.01) -> Tensor:
        chosen = fill_of({"name": "linear", "fill": "linear", "options": {"noise": noise}})
        return fill_images(chosen, images, mean, index, problems.SEED, removed)

    def peer(noise: float = 0.01) -> Tensor:
        imputer = NoisyLinearImputer(noise=noise)
        return torch.stack([imputer(image, kept) for image, kept in pairs])

    difference = float((ours(0.0).cpu() - peer(0.0)).abs().max())
    if difference > _AGREEMENT:
        raise AssertionError(f"the imputed pixels differ from the package's by {difference:.2g}")
    seconds = by_turns({"ours": ours, "peer": peer}, setting)
    return Comparison(
        name=f"linear fill, {problem.name}",
        against="pytorch-grad-cam, NoisyLinearImputer",
        **seconds,
        at_least=20.0,
        note=f"{n_images} images x {STEPS - 1} steps, units of {problem.unit_px} px; equal to {difference:.1g} without noise",
        facts={"images per second": len(index) / float(np.median(seconds["ours"]))},
    )


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons of fills that see the mask."""
    for problem in (problems.SMALL, problems.FULL):
        yield against_mean(setting, problem)
    if not find_spec("pytorch_grad_cam"):
        print("skipped: pytorch-grad-cam is not installed (pip install grad-cam)", flush=True)
        return
    for problem in (problems.SMALL, problems.FULL, problems.LARGE):
        yield against_package(setting, problem)
