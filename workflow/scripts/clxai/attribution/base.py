"""The contract of an attribution method: what it is given, what it returns, what it declares.

    @method("name", families=("gradient",), reduction="abs_sum")
    def name(problem: Problem, options: Mapping) -> Explanation

The words that keywords take are those of `vocabularies`. families: what it is of; controls are of "control", maps in files of
"given". payload: "attributions", maps of images. aligned_to: what the values belong to before they are brought to pixels.
scope: what a map is about, and scope_defined_by: what makes it so. signed: negative values mean evidence against the target;
without it they are refused. seeding: whether the maps depend on the seed. per_head: False if the map is the same for every
head. baseline: default fill of a method that needs one, else None. baseline_cardinality: one baseline for each image, or a set
of training images for all, as many as the option `references` says; then it has no fill. complete: in what sense the values add
up to m(x) - m(b), if they do. reduction: how channels become one map. needs_rules: the network must have rules for relevance
propagation. extras: the numbers that it returns besides, by name: {axes, unit}, the first axis "image"; those and no others
must be returned. needs: registered methods whose maps of the same images it is given, run first if the study does not have
them. borrows: "maps", if it is made from a whole sample of maps of the method that its option `of` names; then the options
`model`, `seed`, `sample` and `head_if_absent`, where it has them, say whose. "method", if it runs the method `of` in another
way. "file", if its maps are a user's, see `brought`. removes: it removes units itself, as the flipping does, by its options
`units` and `fill`, names of the config, by default the first of the study. reads_masks: the masks of the mask bank that it is a
mean of or a regression on, by their law ("shapley", "bernoulli" or "leave_one_out"); its options `units` and `fill` say which
bank, by default that of the study's first. masks_per_unit: how many fitted masks of that law it needs for each unit of an
image. learns: it asks explainers that are trained on mask banks of other images; its options `units` and `fill` say which banks,
`sample` and `validation` of which images, `explainers` how many are trained, the others how. needs_evidence: works on data alone
whose evidence is known. package: an optional one that it needs. blind: the map knows nothing of the network that it is scored on;
an explanation must exceed the best of these. options: allowed keys with their defaults; `layer` is one that the network declares,
or `last`. at_most (may be left out): upper bounds of options, each a number or the name of another option.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from clxai.amortising.explainers import Explainers
from clxai.errors import ClxaiError
from clxai.heads.base import FrozenScores, Head, log_odds
from clxai.mask_bank.game import MaskBank
from clxai.mask_bank.removing import Removal
from clxai.networks.base import NETWORKS
from clxai.networks.geometry import layer_among
from clxai.networks.inference import Encoder
from clxai.registry import Family
from clxai.vocabularies import (
    ALIGNMENTS,
    AXES,
    CARDINALITIES,
    COMPLETENESS,
    FAMILIES,
    MAPS,
    MEASURED_IN,
    RESERVED_SCOPES,
    SCOPE_STEPS,
    SCOPES,
    SEEDINGS,
)

METHODS = Family(
    "methods",
    keywords={
        "families": {"type": "array", "items": {"enum": FAMILIES}, "minItems": 1, "uniqueItems": True},
        "payload": {"enum": MAPS, "default": "attributions"},
        "aligned_to": {"enum": ALIGNMENTS, "default": "input"},
        "scope": {"enum": SCOPES, "reserved": RESERVED_SCOPES, "default": "local"},
        "scope_defined_by": {"enum": SCOPE_STEPS, "default": "explainer"},
        "signed": {"type": "boolean", "default": False},
        "blind": {"type": "boolean", "default": False},
        "seeding": {"enum": SEEDINGS, "default": "none"},
        "per_head": {"type": "boolean", "default": True},
        "baseline": {"type": ["null", "string"], "default": None},
        "baseline_cardinality": {"enum": CARDINALITIES, "default": "single"},
        "complete": {"enum": COMPLETENESS, "default": "none"},
        "reduction": {"enum": ["sum", "abs_sum", "mean", "none"]},
        "needs_rules": {"type": "boolean", "default": False},
        "extras": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["axes", "unit"],
                "properties": {
                    "axes": {"type": "array", "prefixItems": [{"const": "image"}], "items": {"enum": AXES}, "minItems": 1},
                    "unit": {"enum": MEASURED_IN},
                },
                "additionalProperties": False,
            },
            "default": {},
        },
        "needs": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "default": []},
        "needs_evidence": {"type": "boolean", "default": False},
        "package": {"type": ["null", "string"], "default": None},
        "reads_masks": {"enum": ["nothing", "shapley", "bernoulli", "leave_one_out"], "default": "nothing"},
        "masks_per_unit": {"type": "integer", "minimum": 0, "default": 0},
        "learns": {"type": "boolean", "default": False},
        "removes": {"type": "boolean", "default": False},
        "borrows": {"enum": ["nothing", "maps", "method", "file"], "default": "nothing"},
    },
)
method = METHODS.register

REDUCTIONS = {
    "sum": lambda maps: maps.sum(dim=1),  # signed evidence of a pixel
    "abs_sum": lambda maps: maps.abs().sum(dim=1),  # magnitude
    "mean": lambda maps: maps.mean(dim=1),  # channels that were removed together
    "none": lambda maps: maps.squeeze(1),  # already one map
}


@dataclass(frozen=True)
class Pool:
    """The maps that a method borrows for one head: those of a whole sample, after channel reduction.

    `index` has the numbers of their images, ascending, `target` the classes that they explain.
    """

    maps: Float[Tensor, "pooled y x"]
    index: Int[Tensor, " pooled"]
    target: Int[Tensor, " pooled"]

    def of(self, index: Int[Tensor, " image"]) -> Float[Tensor, "image y x"]:
        """Return the maps of these images. Raises ClxaiError if one has none."""
        place = torch.searchsorted(self.index, index).clamp(max=len(self.index) - 1)
        if not torch.equal(self.index[place], index):
            raise ClxaiError("the borrowed maps are of other images: take them of the sample that is explained")
        return self.maps[place]


@dataclass(frozen=True)
class Problem:
    """One batch to explain: images in [0, 1], the head, its fixed targets and its frozen scores.

    Methods differentiate with respect to the normalised input. `rows` numbers the images of the batch, so that a method that
    repeats inputs can say whose copy each one is. `checkpoint` is the file of the network, for methods that need it as it was
    trained, with its batch norms. `baseline` is normalised: one image for each, or a set of training images for all
    (`baseline_cardinality`), as many as the option `references` says; None for methods without. `maps` has the maps of each
    method that is needed, after channel reduction, for this batch and head; `pool` what is borrowed for this head. `other` runs
    the method that is borrowed on a problem like this one, with the baseline of this one, and returns its maps after channel
    reduction. `evidence` is where the evidence of each image is, by the number of its part and 0 elsewhere, or None where the
    data do not tell. `removal` says how a method that removes units itself does it. `masks` is the mask bank of these images
    for this head, for methods that read it, `explainers` are the trained ones for this head, for methods that ask them.
    """

    encoder: Encoder
    checkpoint: str
    head: Head
    frozen: FrozenScores
    images: Float[Tensor, "image channel y x"]
    index: Int[Tensor, " image"]
    target: Int[Tensor, " image"]
    baseline: Float[Tensor, "reference channel y x"] | None
    seed: int
    maps: Mapping[str, Float[Tensor, "image y x"]] = field(default_factory=dict)
    evidence: UInt8[Tensor, "image y x"] | None = None
    pool: Pool | None = None
    other: Callable[["Problem"], Float[Tensor, "image y x"]] | None = None
    removal: Removal | None = None
    masks: MaskBank | None = None
    explainers: Explainers | None = None

    @property
    def inputs(self) -> Float[Tensor, "image channel y x"]:
        """The normalised images, a leaf to differentiate by."""
        return self.encoder.normalise(self.images).detach().requires_grad_(True)

    @property
    def rows(self) -> Int[Tensor, " image"]:
        """0..n-1."""
        return torch.arange(len(self.images), device=self.images.device)

    def point_log_odds(self, points: Float[Tensor, "row feature"], rows: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
        """Return the target's log-odds as a function of the head's points, neighbours frozen."""
        return log_odds(self.frozen(points, rows), self.target[rows])

    def log_odds(self, inputs: Float[Tensor, "row channel y x"], rows: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
        """Return the target's log-odds as a function of normalised inputs: the scalar that every method explains."""
        return self.point_log_odds(self.head.points(self.encoder.backbone(inputs)), rows)


@dataclass(frozen=True)
class Explanation:
    """Attributions [image, channel, y, x] before channel reduction, and the declared extra numbers, of each image."""

    maps: Float[Tensor, "image channel y x"]
    extras: Mapping[str, Float[Tensor, "image *axes"]] = field(default_factory=dict)


def layer_name(encoder: Encoder, name: str) -> str:
    """Return the layer that is meant, `last` resolved. Raises ClxaiError if the network declares none of that name."""
    network = encoder.architecture.network
    return layer_among(NETWORKS[network].semantics["layers"], name, f"network {network!r}")


def layer_of(encoder: Encoder, name: str) -> torch.nn.Module:
    """Return a layer that the network declares; `last` is the deepest. Raises ClxaiError if it declares none of that name."""
    return encoder.backbone.get_submodule(layer_name(encoder, name))
