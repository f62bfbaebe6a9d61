"""Layer-wise relevance propagation with zennit, started at the embedding from the head's own linearisation."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import AttributeCanonizer, Canonizer, CompositeCanonizer, SequentialMergeBatchNorm
from zennit.composites import EpsilonPlusFlat
from zennit.layer import Sum

from clxai.attribution.base import Explanation, Problem, method
from clxai.errors import ClxaiError
from clxai.networks.base import NETWORKS
from clxai.networks.blocks import Add, BasicBlock, Bottleneck, SpatialMean
from clxai.networks.models import load_network

_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Identity, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, SpatialMean, Add)
_KNOWN = (*_LAYERS, nn.Sequential, BasicBlock, Bottleneck)
EXACTNESS = 1e-9  # relative difference of canonised embeddings in float64


@method(
    "lrp",
    families=("propagation",),
    signed=True,
    reduction="sum",
    needs_rules=True,
    extras={"conservation_ratio": {"axes": ("image",), "unit": "1"}},
)
def lrp(problem: Problem, options: Mapping[str, Any]) -> Explanation:
    """EpsilonPlusFlat: Epsilon on dense, ZPlus on convolutions, Flat on the first one [Montavon et al. 2019], canonised.

    The relevance of the embedding is R = u * dm/du in the head's points u. For heads on the unit sphere the norm is held
    constant: through it, u . dm/du is 0 (m is homogeneous of degree 0) and the map would be noise. The conservation ratio is
    the relevance at the input over that at the embedding.

    Raises ClxaiError if the network has no rules or a module is unknown, an addition or batch norm was not canonised, or
    canonising changed the embedding.
    """
    relevance = embedding_relevance(problem)
    composite = EpsilonPlusFlat()
    network = load_network(problem.checkpoint, problem.images.device)
    with canonised(prepared(network.backbone), canonizer_of(network.architecture.network)) as model:
        check_exact(network.backbone, model, problem.inputs[:2])
        with Gradient(model.float(), composite) as attributor:
            _, maps = attributor(problem.inputs, relevance)
    total = relevance.sum(dim=1)
    ratio = maps.sum(dim=(1, 2, 3)) / torch.where(total == 0, torch.nan, total)
    return Explanation(maps.detach(), {"conservation_ratio": ratio.detach()})


def embedding_relevance(problem: Problem) -> Float[Tensor, "image feature"]:
    """Return R = u * dm/du at the clean images, u the head's points, norm held constant."""
    with torch.no_grad():
        points = problem.head.points(problem.encoder.backbone(problem.inputs))
    points.requires_grad_(True)
    (gradient,) = torch.autograd.grad(problem.point_log_odds(points, problem.rows).sum(), points)
    return (points * gradient).detach()


def prepared(backbone: nn.Module) -> nn.Module:
    """Return a float64 copy whose batch norms have eps folded into the variance, so that merging them is exact.

    Raises ClxaiError if a module is of a type that the rules do not cover.
    """
    unknown = sorted({type(module).__name__ for module in list(backbone.modules())[1:] if type(module) not in _KNOWN})
    if unknown:
        raise ClxaiError(f"lrp has no rule for {', '.join(unknown)}. Known: {', '.join(known.__name__ for known in _KNOWN)}")
    backbone = copy.deepcopy(backbone).double().requires_grad_(False)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var += module.eps
            module.eps = 0.0
    return backbone


def canonizer_of(network: str) -> Canonizer:
    """Return what makes a network of the family fit for the rules. Raises ClxaiError if it declares none."""
    kind = NETWORKS[network].semantics["lrp"]
    if kind not in CANONIZERS:
        raise ClxaiError(f"lrp has no rules for network {network!r}")
    return CANONIZERS[kind]()


def _summed(name: str, module: nn.Module) -> dict[str, Any] | None:
    """Return the attributes that turn an addition into zennit's sum, whose rule shares relevance between its terms."""
    if not isinstance(module, Add):
        return None
    total = Sum()
    return {"forward": lambda one, other: total(torch.stack([other, one], dim=-1)), "canonizer_sum": total}


CANONIZERS: Mapping[str, Callable[[], Canonizer]] = {
    "sequential": SequentialMergeBatchNorm,
    "residual": lambda: CompositeCanonizer((SequentialMergeBatchNorm(), AttributeCanonizer(_summed))),
}


@contextmanager
def canonised(backbone: nn.Module, canonizer: Canonizer) -> Iterator[nn.Module]:
    """Apply a canoniser, check that it took hold everywhere, and undo it afterwards.

    Raises ClxaiError if an addition has no Sum module or a batch norm was not merged. Without the Sums every addition doubles the
    relevance, and the maps still look fine.
    """
    instances = canonizer.apply(backbone)
    try:
        n_sums = sum(isinstance(module, Sum) for module in backbone.modules())
        n_additions = sum(isinstance(module, Add) for module in backbone.modules())
        if n_sums != n_additions:
            raise ClxaiError(f"lrp: {n_sums} of {n_additions} additions are canonised")
        for name, module in backbone.named_modules():
            if isinstance(module, nn.BatchNorm2d) and not (module.weight == 1).all() & (module.bias == 0).all():
                raise ClxaiError(f"lrp: batch norm {name} was not merged into a convolution")
        yield backbone
    finally:
        for instance in instances:
            instance.remove()


def check_exact(original: nn.Module, changed: nn.Module, inputs: Tensor) -> None:
    """Raise ClxaiError if the canonised backbone, in float64, differs from the original by more than rounding."""
    with torch.no_grad():
        expected, found = copy.deepcopy(original).double()(inputs.double()), changed(inputs.double())
    difference = float((found - expected).norm() / expected.norm())
    if difference > EXACTNESS:
        raise ClxaiError(f"lrp: canonising changed the embedding by {difference:.2g} (relative, allowed {EXACTNESS})")
