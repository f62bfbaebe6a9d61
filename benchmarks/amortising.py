"""One pass of an explainer for all heads against integrated gradients of each of them, and against a pass of the network."""

from collections.abc import Iterator

import torch
from clxai.amortising.network import Explainer, Form, build_explainer
from clxai.attribution.base import Problem
from clxai.attribution.gradients import integrated_gradients
from clxai.networks.inference import Encoder
from clxai.registry import declared
from clxai.units.base import cut_images
from torch import Tensor

from benchmarks import problems
from benchmarks.measuring import Comparison, Setting, by_turns

STEPS = 64
_BAR = 100.0  # times faster than integrated gradients of four heads


def explainer_for(problem: problems.Problem, heads: tuple[str, ...], device: torch.device) -> Explainer:
    """Return an explainer of the default size; the time of a pass does not depend on its weights."""
    options, grey = declared("methods")["amortised"].semantics["options"], (0.5,) * problem.channels
    shape, sizes = (problem.channels, *problem.shape), {name: options[name] for name in ("width", "depth")}
    form = Form(shape, grey, grey, heads, problems.N_CLASSES, problem.n_units, **sizes)
    return build_explainer(form, torch.ones(len(heads)), problems.SEED).to(device).eval().requires_grad_(False)


def gradients_of(encoder: Encoder, heads: dict[str, torch.nn.Module], images: Tensor) -> list[Problem]:
    """Return the problem of explaining each head."""
    index, black = torch.arange(len(images), device=images.device), torch.zeros_like(images)
    with torch.no_grad():
        points = encoder(images)
    return [
        Problem(encoder, "", head, head.freeze(points), images, index, head.predict(points), black, problems.SEED)
        for head in heads.values()
    ]


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the comparisons at the size of the default study."""
    problem, n_images = problems.SMALL, setting.size(16)
    setting.use_threads(problem.threads)
    encoder, images = problems.encoder_of(problem, setting.device), problems.images_of(problem, n_images, setting.device)
    heads = problems.heads_of(encoder, problem)
    explainer, own = explainer_for(problem, tuple(heads), setting.device), gradients_of(encoder, heads, images)
    cut = cut_images("grid", {"height": problem.unit_px, "width": problem.unit_px}, images)
    n_units = torch.full((n_images,), problem.n_units, device=setting.device)
    options = {"steps": STEPS, "most_steps": STEPS, "tolerance": 1.0}

    @torch.no_grad()
    def pass_of_network() -> Tensor:
        return encoder(images)

    contestants = {
        "ours": lambda: explainer(images, cut.labels, n_units),
        "peer": lambda: [integrated_gradients(one, options) for one in own],
        "floor": pass_of_network,
    }
    seconds, words = by_turns(contestants, setting), f"one pass for {len(heads)} heads, {problem.name}"
    note = f"{n_images} images, {STEPS} points of each head"
    against = f"integrated gradients of {len(heads)} heads"
    yield Comparison(words, against, seconds["ours"], seconds["peer"], at_least=_BAR, note=note)
    yield Comparison(words, "a pass of the network", seconds["ours"], seconds["floor"], at_most=1.0)
