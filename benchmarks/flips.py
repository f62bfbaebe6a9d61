"""The flipping engine against the bare forward passes of as many images, and against Quantus."""

from collections.abc import Iterator

import torch
from clxai.devices import keep_freed_memory
from clxai.flipping import flip
from clxai.inference import reuse_memory
from torch import Tensor

from benchmarks import problems
from benchmarks.measuring import Comparison, Setting, by_turns

BATCH = 128


def forward_passes(backbone: torch.nn.Module, images: Tensor, n_images: int) -> None:
    """Embed `n_images` images, batch by batch."""
    with torch.no_grad():
        for start in range(0, n_images, len(images)):
            backbone(images[: min(len(images), n_images - start)])


def against_forward(setting: Setting, problem: problems.Problem, fills: tuple[str, ...], bar: float, n_images: int) -> Comparison:
    """Flip two orders of each image, all heads and all quantities recorded, beside the forward passes alone."""
    encoder = problems.encoder_of(problem, setting.device)
    reuse_memory(encoder.backbone)
    images = problems.images_of(problem, n_images, setting.device)
    heads = problems.heads_of(encoder, problem)
    observer = problems.observer_for(encoder, problem, images, heads)
    plan = problems.flipping_of(problem, fills, 16, BATCH)
    rank = problems.ranks_of(problem, 1, n_images, setting.device)
    index = torch.arange(n_images, device=setting.device)
    n_rankings, n_inner = 2 * len(rank), len(plan.counts) - 2
    n_forward = n_images * (1 + len(fills) * (1 + n_rankings * n_inner))
    batch = max(1, BATCH // (n_rankings * n_inner)) * n_rankings * n_inner  # as the engine cuts it
    bare = problems.images_of(problem, batch, setting.device)

    def ours() -> None:
        for _ in flip(encoder, observer, images, index, rank, plan):
            pass

    seconds = by_turns({"ours": ours, "peer": lambda: forward_passes(encoder.backbone, bare, n_forward)}, setting)
    return Comparison(
        name=f"flip, fill {' + '.join(fills)}, {problem.name}",
        against="bare forward passes",
        **seconds,
        at_most=bar,
        note=f"{n_forward} images, {len(heads)} heads, bank of {problem.n_bank}",
        facts={"images_per_second": n_forward / sorted(seconds["ours"])[len(seconds["ours"]) // 2]},
    )


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons of the engine."""
    for problem, n_images in ((problems.SMALL, 64), (problems.FULL, 16)):
        for fills, bar in ((("mean",), 1.10), (("blur",), 1.20), (("noise",), 1.20)):
            yield against_forward(setting, problem, fills, bar, n_images)
