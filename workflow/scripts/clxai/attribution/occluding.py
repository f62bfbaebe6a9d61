"""Occlusion: what the log-odds lose when a window is covered."""

from collections.abc import Mapping
from typing import Any

import torch
from captum import attr

from clxai.attribution.base import Explanation, Problem, method
from clxai.errors import ClxaiError
from clxai.runtime.memory import COVERED


@method(
    "occlusion",
    families=("perturbation",),
    signed=True,
    baseline="mean",
    reduction="mean",
    options={"window": 6, "stride": 3},
    at_most={"stride": "window", "window": "image_size"},
)
def occlusion(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """m(x) - m(x with a sliding window replaced by the baseline), averaged over the windows on a pixel [Zeiler, Fergus 2014]."""
    channels, size = problem.images.shape[1], min(problem.images.shape[-2:])
    window, stride = options["window"], options["stride"]
    if not 1 <= stride <= window <= size:
        raise ClxaiError(f"occlusion needs 1 <= stride <= window <= {size}. Got stride {stride}, window {window}")
    explainer = attr.Occlusion(problem.log_odds)
    with torch.no_grad():
        maps = explainer.attribute(
            problem.inputs, (channels, window, window), (channels, stride, stride), baselines=problem.baseline,
            additional_forward_args=(problem.rows,), perturbations_per_eval=COVERED,
        )  # fmt: skip
    return Explanation(maps.float())
