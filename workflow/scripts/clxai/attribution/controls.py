"""Controls: maps that know nothing of the model. A real explanation has to beat them all."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from clxai.attribution.base import Explanation, Problem, method
from clxai.keys import key_of
from clxai.randomness import keyed_uniform


@method("random", families=("control",), blind=True, seeding="keyed", per_head=False, reduction="none")
def random(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Uniform noise per pixel, keyed by seed and image: its SRG is 0 in expectation."""
    pixels = problem.images[:, :1]
    values = keyed_uniform(key_of("random attribution", problem.seed), problem.index, pixels[0].numel())
    return Explanation(values.reshape(pixels.shape).to(pixels.dtype))


@method("sobel", families=("control",), blind=True, per_head=False, reduction="none")
def sobel(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """Edge strength: gradient magnitude of the channel mean by the 3x3 Sobel operator, borders replicated."""
    grey = functional.pad(problem.images.mean(dim=1, keepdim=True), [1] * 4, mode="replicate")
    across = grey.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])[None, None] / 8
    return Explanation(torch.hypot(functional.conv2d(grey, across), functional.conv2d(grey, across.transpose(2, 3))))


@method("ink", families=("control",), blind=True, per_head=False, reduction="mean")
def ink(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """The image itself, in [0, 1]: the bright pixels first."""
    return Explanation(problem.images)


@method("contrast", families=("control",), blind=True, per_head=False, baseline="mean", reduction="mean")
def contrast(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """|x - baseline| of images in [0, 1]: how far removal moves a pixel if the baseline is the fill."""
    return Explanation((problem.inputs.detach() - problem.baseline).abs() * problem.encoder.scale)
