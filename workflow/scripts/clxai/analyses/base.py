"""The family of analyses: explainers that own the whole way from a trained run to a result that is no map of an image.

    @analysis("name", payload="table", scope="aggregated", families=("concept",),
              gives={"score": {"axes": ("head", "class"), "unit": "1"}}, options={"layers": ()})
    def name(view: View, options: Mapping) -> Payload

The words that keywords take are those of `vocabularies`. payload: what kind of thing is returned. scope: local, one result for
each image, or aggregated, one for the sample. families: what it is of. seeding: whether it depends on the seed. gives: all
numbers that it returns, by name: {axes, unit, shown}; those and no others must come back, with these axes. shown: how the study's
table has them: "mean" over images and seeds with an interval, "each" run by itself, "test", a p-value of each run, corrected for
the others of its run and name, or "none", in the file alone. needs_affine: heads that are not affine are left out, with the
reason; a model without one is refused. unseen: the images that it looks at must not be training images. planning: a module whose
`check(options, where, parts)` refuses what the config shows to be wrong.

Options with these names mean the same in all members: `layer` and `layers` are layers that the network declares, or `last`, and
no layers are all of them; `fill` is a fill of the config, by default the first of the study; `pool` is how many training images
are looked at. Every member has the option `sample` besides: a sample of the config, by default the one that is explained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from clxai.fills.base import Fill
from clxai.heads.base import Head
from clxai.keys import key_of
from clxai.registry import Family
from clxai.runs import Run
from clxai.vocabularies import AXES, FAMILIES, MEASURED_IN, RESERVED_SCOPES, SCOPES, SEEDINGS, SHOWN, STRUCTURED

ANALYSES = Family(
    "analyses",
    keywords={
        "payload": {"enum": STRUCTURED},
        "scope": {"enum": SCOPES, "reserved": RESERVED_SCOPES},
        "families": {"type": "array", "items": {"enum": FAMILIES}, "minItems": 1, "uniqueItems": True},
        "seeding": {"enum": SEEDINGS, "default": "none"},
        "gives": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["axes", "unit"],
                "properties": {
                    "axes": {"type": "array", "items": {"enum": AXES}, "uniqueItems": True, "minItems": 1},
                    "unit": {"enum": MEASURED_IN},
                    "shown": {"enum": SHOWN, "default": "mean"},
                },
                "additionalProperties": False,
            },
        },
        "needs_affine": {"type": "boolean", "default": False},
        "unseen": {"type": "boolean", "default": False},
        "planning": {"type": ["null", "string"], "default": None},
    },
)
analysis = ANALYSES.register


@dataclass(frozen=True)
class View:
    """A trained run as an analysis sees it: network, data and embeddings, looking at the images of a sample.

    `heads` are those that the analysis can serve. `fill` is that of its options, if it has one, with the seed of the flipping.
    """

    run: Run
    heads: Mapping[str, Head]
    seed: int
    fill: Fill | None = None
    fill_seed: int = 0

    def training(self, purpose: str, most: int) -> Int[ndarray, " item"]:
        """Return the numbers of so many training images, ascending: a draw keyed by purpose and seed, all if there are fewer."""
        train = self.run.data.indices("train")
        rng = np.random.default_rng(key_of(purpose, "training images", self.seed))
        return np.sort(rng.choice(train, min(most, len(train)), replace=False))


@dataclass(frozen=True)
class Payload:
    """What an analysis found: numbers by name, with the axes that it declares for each, NaN where one is not defined.

    `coordinates` are the labels of axes that do not follow from the run: not of head, image and class, nor of channel, feature,
    y and x, which are counted.
    """

    values: Mapping[str, Tensor | ndarray]
    coordinates: Mapping[str, Sequence[Any]] = field(default_factory=dict)
