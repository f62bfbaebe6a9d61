"""Heads: class scores from embeddings, each with one differentiable log-odds that is target, score and accuracy at once.

A head maps embeddings z to scores s [image, class]. Its explanation target and flipping score is the log-odds
m_c = s_c - logsumexp_{o != c} s_o. Heads declared `unit` work on z / |z|; their own coordinates are called `points` here.

    @head("name", needs_classifier=False, affine=False, options={...})
    class Name(Head)

needs_classifier: whether the head is the network's own layer, which contrastive losses do not train. affine: whether differences
of two scores are affine in the points, so that classes meet in planes, which `planes` gives.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clxai.errors import ClxaiError, unknown_name
from clxai.networks.architecture import all_finite
from clxai.registry import Family
from clxai.runtime.artefacts import read_tensors, write_tensors

HEADS = Family(
    "heads",
    keywords={"needs_classifier": {"type": "boolean", "default": False}, "affine": {"type": "boolean", "default": False}},
)
head = HEADS.register

FrozenScores = Callable[[Tensor, Tensor], Tensor]


def log_odds(scores: Float[Tensor, "*batch class"], target: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return m_c = s_c - logsumexp_{o != c} s_o, the log-odds of the target class; any real, 0 where p_c = 1/2."""
    own = scores.gather(-1, target[..., None])
    others = scores.scatter(-1, target[..., None], -torch.inf).logsumexp(-1)
    return own.squeeze(-1) - others


class Head(nn.Module, ABC):
    """Base of all heads: named tensors, a temperature for calibrated probabilities, and the two scoring paths.

    Subclasses give `fit` and `point_scores`; those whose scores depend on a search override `freeze` and `decide`, and, where
    they search the training bank, `neighbours_in` and `decide_among`; those declared affine give `planes`, and those that measure
    distances otherwise than between points `coordinates`.
    """

    unit = False

    def __init__(self, tensors: Mapping[str, Tensor], options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        for name in ("temperature", "temperature_low", "temperature_high"):  # fitted, with its 95 % interval
            if name not in tensors:
                self.register_buffer(name, torch.ones(()))
        self.options = dict(options or {})
        self.facts: dict[str, float] = {}

    @classmethod
    @abstractmethod
    def fit(
        cls,
        embeddings: Float[Tensor, "image feature"],
        labels: Int[Tensor, " image"],
        n_classes: int,
        options: Mapping[str, Any],
        classifier: nn.Linear | None = None,
    ) -> "Head":
        """Fit on training embeddings; `classifier` is the network's own layer where it has one."""

    def points(self, embeddings: Float[Tensor, "image feature"]) -> Float[Tensor, "image feature"]:
        """Return the head's coordinates: the embeddings, on the unit sphere if the head is declared so."""
        return functional.normalize(embeddings, dim=-1) if self.unit else embeddings

    def coordinates(self, embeddings: Float[Tensor, "image feature"]) -> Float[Tensor, "image feature"]:
        """Return points whose Euclidean distances are those by which the head tells images apart."""
        return self.points(embeddings)

    def planes(self) -> tuple[Float[Tensor, "class feature"], Float[Tensor, " class"]]:
        """Return W and b, float64, of scores w_c.x + b_c + what all classes share, x a point; of heads declared affine."""
        raise NotImplementedError(f"{type(self).__name__} is not affine")

    @abstractmethod
    def point_scores(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        """Return class scores, differentiable in the points."""

    def forward(self, embeddings: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        """Return class scores, differentiable in the embeddings."""
        return self.point_scores(self.points(embeddings))

    def freeze(self, embeddings: Float[Tensor, "image feature"]) -> FrozenScores:
        """Return scores(points, index) as a smooth function near these clean embeddings; index says whose points they are."""
        return lambda points, index: self.point_scores(points)

    def decide(self, embeddings: Float[Tensor, "image feature"]) -> tuple[Float[Tensor, "image class"], Int[Tensor, " image"]]:
        """Return the scores and the predicted classes that count for accuracy, from one evaluation."""
        scores = self(embeddings)
        return scores, scores.argmax(dim=-1)

    def neighbours_in(self, bank: Float[Tensor, "item feature"]) -> int:
        """Return how many nearest items of this unit bank `decide_among` needs; 0 if the head does not search there."""
        return 0

    def decide_among(
        self, similarity: Float[Tensor, "image k"], neighbours: Int[Tensor, "image k"]
    ) -> tuple[Float[Tensor, "image class"], Int[Tensor, " image"]]:
        """Return what `decide` returns, from the nearest items of the bank by cosine, in no order."""
        raise NotImplementedError(f"{type(self).__name__} does not search a bank")

    def predict(self, embeddings: Float[Tensor, "image feature"]) -> Int[Tensor, " image"]:
        """Return the predicted classes."""
        return self.decide(embeddings)[1]


def save_head(fitted: Head, name: str, path: str | Path) -> None:
    """Write a fitted head as safetensors with its name, options and facts."""
    write_tensors(fitted.state_dict(), {"kind": "head", "head": name, "options": fitted.options, "facts": fitted.facts}, path)


def load_head(path: str | Path, device: torch.device) -> Head:
    """Read a fitted head. Raises ClxaiError, naming the file, if it is not one or its tensors are not finite."""
    tensors, record = read_tensors(path)
    if record.get("kind") != "head" or not {"head", "options", "facts"} <= set(record):
        raise ClxaiError(f"{path}: not a head (kind {record.get('kind')!r})")
    if record["head"] not in HEADS:
        raise ClxaiError(f"{path}: {unknown_name('head', record['head'], HEADS)}")
    if not all_finite(tensors):
        raise ClxaiError(f"{path}: tensors of the head are not finite")
    fitted = HEADS[record["head"]].definition(tensors, record["options"])
    fitted.facts = record["facts"]
    return fitted.to(device).requires_grad_(False)
