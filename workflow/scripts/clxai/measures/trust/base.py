"""The family of trust measures: numbers about the test itself, read off the scores of one model and head.

    @trust("name", better=1, null=0.0, needs=["oracle"])
    def name(panel: Panel, **options) -> Mapping[str, ndarray]  # by part: [seed, image], [seed] or one number

A part of shape [seed, image] is measured as its mean, one of shape [seed] as the mean over seeds of a function of that seed's
images, a single number as a function of all; `intervals` says how each gets its interval.

better: the direction of more trust (1, -1, 0: neither). null: the value of no trust. low, high: the range, at which intervals
end. needs: what a study must contain, a registered method such as `oracle` or a word of `planning.trust.WORDS`. metrics: those
that it reads, per image. across: it runs over all fills and units together and gets [seed, image, setup, method]. log: its
interval is that of log(1 - value). The docstring's first paragraph is its row in config/README.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from clxai.errors import ClxaiError
from clxai.ranks import mean_ranks
from clxai.registry import Family

TRUST = Family(
    "trust",
    keywords={
        "better": {"enum": [1, -1, 0]},
        "null": {"type": ["number", "null"]},
        "low": {"type": ["number", "null"], "default": None},
        "high": {"type": ["number", "null"], "default": None},
        "needs": {"type": "array", "items": {"type": "string"}, "default": []},
        "metrics": {
            "type": "array",
            "items": {"type": "string"},
            "default": ["auc_deletion_matched", "auc_insertion_matched", "srg_matched"],
        },
        "across": {"type": "boolean", "default": False},
        "log": {"type": "boolean", "default": False},
    },
)
trust = TRUST.register

CONTROL = "control"  # the family of the methods that explain nothing of this model
INSTRUMENTS: Mapping[str, tuple[str, int]] = {  # what ranks methods: its metric on matched scores, and the direction of better
    "morf": ("auc_deletion_matched", -1),
    "lerf": ("auc_insertion_matched", 1),
    "srg": ("srg_matched", 1),
}
CAPS = ("tenth", "half")  # of the units: what is removed at most by instruments that are capped
_RATED = {
    **INSTRUMENTS,
    **{f"morf_{cap}": (f"auc_deletion_{cap}", -1) for cap in CAPS},
    **{f"lerf_{cap}": (f"auc_insertion_{cap}", 1) for cap in CAPS},
    **{f"srg_{cap}": (f"srg_{cap}", 1) for cap in CAPS},
}


def capped(instrument: str, cap: str | None) -> str:
    """Return an instrument that removes no more than a cap, one of `CAPS`; the plain one without a cap.

    Raises ClxaiError on another cap.
    """
    if cap is not None and cap not in CAPS:
        raise ClxaiError(f"cap must be one of {', '.join(CAPS)}. Got {cap!r}")
    return instrument if cap is None else f"{instrument}_{cap}"


@dataclass(frozen=True)
class Method:
    """A method of a study: the name that the study gives it, the registered one, its families and its options.

    `lender`: of one that borrows maps, by model whose run borrows: the model whose maps they are, and whether of another seed.
    `absent`: the models that do not have it. `randomised`: by model, what is random of that lender, if it is a randomised copy of
    the model: parts of the network joined by `+`, or `labels`.
    """

    name: str
    member: str
    families: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    lender: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    absent: Sequence[str] = ()
    randomised: Mapping[str, str] = field(default_factory=dict)

    @property
    def explains(self) -> bool:
        """Say whether it explains this model: it is neither a control nor made from another method's maps."""
        return CONTROL not in self.families and "of" not in self.options


@dataclass(frozen=True)
class Panel:
    """The scores of one model and head under one fill and units, or under all: by metric [seed, image, (setup,) method].

    `scores` are those of the whole study, `n_seeds` and `n_images`; `seed` and `image` are the positions of those that this panel
    has. Where images are drawn with replacement, some come twice. `reference`: the panel of the model that is this model's
    reference, if it has one. `setup`: units and fill, of a panel of one.
    """

    scores: Mapping[str, Float[ndarray, "study_seed study_image *setup method"]]
    methods: Sequence[Method]
    seed: Int[ndarray, " seed"]
    image: Int[ndarray, " image"]
    model: str = ""
    reference: "Panel | None" = None
    setup: tuple[str, str] | None = None
    groups: Int[ndarray, " study_image"] | None = None  # by number, where images come in groups that were drawn
    made: dict[Any, ndarray] = field(default_factory=dict, repr=False)  # of the whole study's scores, shared by its parts

    @property
    def n_seeds(self) -> int:
        """Return the number of seeds of the study."""
        return next(iter(self.scores.values())).shape[0]

    @property
    def n_images(self) -> int:
        """Return the number of images of the study."""
        return next(iter(self.scores.values())).shape[1]

    @property
    def explanations(self) -> list[str]:
        """Return the names of the methods that explain this model: those that are ranked."""
        return [method.name for method in self.methods if method.explains]

    def of_member(self, member: str) -> list[Method]:
        """Return the methods of the study that a registered one stands behind."""
        return [method for method in self.methods if method.member == member]

    def __call__(self, metric: str, names: Sequence[str] | None = None) -> Float[ndarray, "seed image *setup method"]:
        """Return a metric of these methods, those that are ranked by default."""
        return self._whole(metric, names)[np.ix_(self.seed, self.image)]

    def rated(self, instrument: str, names: Sequence[str] | None = None) -> Float[ndarray, "seed image *setup method"]:
        """Return the scores by which an instrument ranks these methods, more is better."""
        metric, better = _RATED[instrument]
        return better * self(metric, names)

    def means(
        self, instrument: str, names: Sequence[str] | None = None, of: Bool[ndarray, "part image"] | None = None
    ) -> Float[ndarray, "... method"]:
        """Return the means of `rated` over images, quickly; `of` says for each part which of the study's images are in it.

        NaN for a part without an image, and where any value is not defined.
        """
        values = self._kept("means", instrument, names, lambda rated: np.moveaxis(rated, 1, 0).copy())  # images first
        times = np.bincount(self.image, minlength=self.n_images).astype(np.float64)
        times = times if of is None else times * of
        total = times.sum(-1, keepdims=True)
        shares = times / np.where(total > 0, total, np.nan)
        means = (shares @ values.reshape(self.n_images, -1)).reshape(*shares.shape[:-1], *values.shape[1:])
        return means[self.seed] if of is None else means[:, self.seed]

    def ranks(self, instrument: str) -> Float[ndarray, "seed image *setup method"]:
        """Return the ranks of the methods that are ranked within each image, mean ranks for ties."""
        return self._kept("ranks", instrument, None, mean_ranks)[np.ix_(self.seed, self.image)]

    def taking(self, seeds: Int[ndarray, " seed"] | slice, images: Int[ndarray, " image"] | slice) -> "Panel":
        """Return the panel of some of its seeds and images, by position; the reference's likewise."""
        other = None if self.reference is None else self.reference.taking(seeds, images)
        return replace(self, seed=self.seed[seeds], image=self.image[images], reference=other)

    def _whole(self, metric: str, names: Sequence[str] | None) -> Float[ndarray, "study_seed study_image *setup method"]:
        order = [method.name for method in self.methods]
        chosen = [order.index(name) for name in (self.explanations if names is None else names)]
        return self.scores[metric][..., chosen].astype(np.float64)

    def _kept(self, what: str, instrument: str, names: Sequence[str] | None, made: Callable[[ndarray], ndarray]) -> ndarray:
        """Return what is made of the whole study's scores, once for all its parts."""
        key = (what, instrument, None if names is None else tuple(names))
        if key not in self.made:
            metric, better = _RATED[instrument]
            self.made[key] = made(better * self._whole(metric, names))
        return self.made[key]


def alone(scores: Mapping[str, ndarray], methods: Sequence[Method], model: str = "", reference: Panel | None = None) -> Panel:
    """Return the panel of a whole study."""
    n_seeds, n_images = next(iter(scores.values())).shape[:2]
    return Panel(scores, methods, np.arange(n_seeds), np.arange(n_images), model, reference)
