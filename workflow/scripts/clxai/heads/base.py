"""Heads: class scores from embeddings, each with one differentiable log-odds that is target, score and accuracy at once.

A head maps embeddings z to scores s [image, class]. Its explanation target and flipping score is the log-odds
m_c = s_c - logsumexp_{o != c} s_o. Heads declared `unit` work on z / |z|; their own coordinates are called `points` here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clxai.errors import ClxaiError, unknown_name
from clxai.networks.neighbours import search, vote_counts
from clxai.registry import Registry
from clxai.runtime.artefacts import read_tensors, write_tensors

HEADS = Registry("head")
head = HEADS.register

FrozenScores = Callable[[Tensor, Tensor], Tensor]


def log_odds(scores: Float[Tensor, "*batch class"], target: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return m_c = s_c - logsumexp_{o != c} s_o, the log-odds of the target class; any real, 0 where p_c = 1/2."""
    own = scores.gather(-1, target[..., None])
    others = scores.scatter(-1, target[..., None], -torch.inf).logsumexp(-1)
    return own.squeeze(-1) - others


class Head(nn.Module):
    """Base of all heads: named tensors, a temperature for calibrated probabilities, and the two scoring paths.

    Subclasses give `fit` and `point_scores`; those whose scores depend on a search override `freeze` and `decide`.
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
    def fit(
        cls,
        embeddings: Float[Tensor, "image feature"],
        labels: Int[Tensor, " image"],
        n_classes: int,
        options: Mapping[str, Any],
        classifier: nn.Linear | None = None,
    ) -> "Head":
        """Fit on training embeddings; `classifier` is the network's own layer where it has one."""
        raise TypeError(f"{cls.__name__} is not a head: it lacks fit")

    def points(self, embeddings: Float[Tensor, "image feature"]) -> Float[Tensor, "image feature"]:
        """Return the head's coordinates: the embeddings, on the unit sphere if the head is declared so."""
        return functional.normalize(embeddings, dim=-1) if self.unit else embeddings

    def point_scores(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        """Return class scores, differentiable in the points."""
        raise TypeError(f"{type(self).__name__} is not a head: it lacks point_scores")

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

    def predict(self, embeddings: Float[Tensor, "image feature"]) -> Int[Tensor, " image"]:
        """Return the predicted classes."""
        return self.decide(embeddings)[1]


class _Affine(Head):
    """Scores W x + b on the head's points."""

    def point_scores(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        return functional.linear(points, self.weight, self.bias)


@head("softmax", needs_classifier=True, options={})
class Softmax(_Affine):
    """The network's own classification layer: logits W z + b on the raw embedding."""

    @classmethod
    def fit(cls, embeddings, labels, n_classes, options, classifier=None) -> "Head":
        """Take over the classifier. Raises ClxaiError if the network has none."""
        if classifier is None:
            raise ClxaiError("head 'softmax' needs a network with a classifier; this one was trained with a projection")
        return cls({"weight": classifier.weight.detach().clone(), "bias": classifier.bias.detach().clone()}, options)


@head("linear", needs_classifier=False, options={"C": 10.0})
class Linear(_Affine):
    """Multinomial logistic regression on the unit embedding, run to convergence (scikit-learn, L-BFGS); C as there."""

    unit = True

    @classmethod
    def fit(cls, embeddings, labels, n_classes, options, classifier=None) -> "Head":
        """Fit by penalised maximum likelihood. Raises ClxaiError if it does not converge."""
        from sklearn.linear_model import LogisticRegression

        units = functional.normalize(embeddings, dim=1).double().cpu().numpy()
        model = LogisticRegression(C=options["C"], max_iter=5000, tol=1e-5).fit(units, labels.cpu().numpy())
        if model.n_iter_.max() >= model.max_iter:
            raise ClxaiError(f"head 'linear' did not converge in {model.max_iter} iterations: lower heads.linear.C")
        weight, bias = model.coef_, model.intercept_
        if n_classes == 2:  # scikit-learn stores only the difference of the two
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        fitted = cls({"weight": torch.tensor(weight).float(), "bias": torch.tensor(bias).float()}, options)
        fitted.facts = {"iterations": float(model.n_iter_.max())}
        return fitted


@head("knn", needs_classifier=False, options={"k": 200, "temperature": 0.07})
class KNearestNeighbours(Head):
    """Soft vote of the k nearest training embeddings by cosine [Wu et al. 2018], as log-sums per class.

    s_c = logsumexp_{i in N_k, y_i = c} cos(z, z_i) / t. A class without a neighbour gets the floor -1/t, the score of one
    neighbour on the far side of the sphere. The hard vote (most neighbours, ties to the higher score) is the prediction.
    """

    unit = True

    @classmethod
    def fit(cls, embeddings, labels, n_classes, options, classifier=None) -> "Head":
        """Keep the bank. Raises ClxaiError if k exceeds it or the temperature is not above 0."""
        if not 1 <= options["k"] <= len(embeddings):
            raise ClxaiError(f"heads.knn.k must be in 1..{len(embeddings)}, the size of the training bank. Got {options['k']}")
        if options["temperature"] <= 0:
            raise ClxaiError(f"heads.knn.temperature must be > 0. Got {options['temperature']}")
        bank = functional.normalize(embeddings, dim=1)
        return cls({"bank": bank, "labels": labels.clone(), "classes": torch.arange(n_classes)}, options)

    def point_scores(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        """Search the neighbours of each point and return its class scores."""
        return self._vote(*search(points, self.bank, self.options["k"]))[0]

    def freeze(self, embeddings: Float[Tensor, "image feature"]) -> FrozenScores:
        """Keep the neighbours of the clean embeddings: the scores are then smooth in the points."""
        similarity, found = search(self.points(embeddings), self.bank, self.options["k"])
        # Nearest first, whatever order the search has: rounding of the sum decides between units that tie.
        neighbours = found.gather(1, similarity.argsort(dim=1, descending=True))

        def scores(points: Tensor, index: Tensor) -> Tensor:
            chosen = neighbours[index]
            return self._vote(torch.einsum("nd,nkd->nk", points, self.bank[chosen]), chosen)[0]

        return scores

    def decide(self, embeddings: Float[Tensor, "image feature"]) -> tuple[Float[Tensor, "image class"], Int[Tensor, " image"]]:
        """Return soft scores and hard votes from one search."""
        return self.decide_among(*search(self.points(embeddings), self.bank, self.options["k"]))

    def decide_among(
        self, similarity: Float[Tensor, "image k"], neighbours: Int[Tensor, "image k"]
    ) -> tuple[Float[Tensor, "image class"], Int[Tensor, " image"]]:
        """Return soft scores and hard votes of neighbours that were already found in the head's bank."""
        scores, counts = self._vote(similarity, neighbours)
        return scores, (counts + 0.5 * scores.softmax(dim=1)).argmax(dim=1)

    def _vote(self, similarity: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and neighbour counts [image, class]; the class maximum is taken out first, so nothing underflows."""
        owner = self.labels.index_select(0, neighbours.flatten()).view_as(neighbours)  # five times as fast as indexing
        logits = similarity / self.options["temperature"]
        shape = (len(logits), len(self.classes))
        counts = vote_counts(owner, len(self.classes)).to(logits.dtype)
        floor = torch.full(shape, -1 / self.options["temperature"], dtype=logits.dtype, device=logits.device)
        most = floor.scatter_reduce(1, owner, logits.detach(), "amax", include_self=True)
        total = logits.new_zeros(shape).scatter_add(1, owner, (logits - most.gather(1, owner)).exp())
        return torch.where(counts > 0, most + total.clamp(min=1e-30).log(), floor), counts


@head("mahalanobis", needs_classifier=False, options={})
class Mahalanobis(Head):
    """Tied-covariance Gaussian classes on the unit embedding: s_c = -1/2 (u - mu_c)' S^-1 (u - mu_c) [Lee et al. 2018].

    S is the pooled within-class covariance, shrunk towards a multiple of the identity [Ledoit, Wolf 2004], because
    contrastive embeddings collapse to about C - 1 directions; the unit norm follows Mahalanobis++ [Mueller, Hein 2025].
    """

    unit = True

    @classmethod
    def fit(cls, embeddings, labels, n_classes, options, classifier=None) -> "Head":
        """Estimate class means and the shrunk covariance in float64; keep S^-1/2 from its Cholesky factor.

        Raises ClxaiError if there are not more images than classes, or if the covariance is singular.
        """
        from sklearn.covariance import ledoit_wolf

        if len(embeddings) <= n_classes:
            raise ClxaiError(f"head 'mahalanobis' needs more training images than {n_classes} classes. Got {len(embeddings)}")

        units = functional.normalize(embeddings, dim=1).double().cpu()
        labels = labels.cpu()
        membership = functional.one_hot(labels, n_classes).double()
        means = membership.T @ units / membership.sum(dim=0)[:, None]
        residuals = (units - means[labels]).numpy()
        covariance, shrinkage = ledoit_wolf(residuals, assume_centered=True)
        covariance *= len(residuals) / (len(residuals) - n_classes)  # the class means cost C degrees of freedom
        factor, failed = torch.linalg.cholesky_ex(torch.tensor(covariance))
        if failed or not torch.isfinite(factor).all():
            raise ClxaiError(
                f"head 'mahalanobis': the within-class covariance of the {len(residuals)} training embeddings is singular (mean "
                f"variance {residuals.var():.3g}): the embeddings of a class are all the same. Lower learning_rate or epochs of "
                "the model's recipe, or leave mahalanobis out of study.heads"
            )
        whitening = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=torch.float64), upper=False)
        centre = means.mean(dim=0)
        tensors = {"centre": centre, "whitening": whitening, "centroids": (means - centre) @ whitening.T}
        fitted = cls({name: tensor.float() for name, tensor in tensors.items()}, options)
        fitted.facts = {"shrinkage": float(shrinkage), "condition_number": float(np.linalg.cond(covariance))}
        return fitted

    def point_scores(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        """Return minus half the squared Mahalanobis distance to each class mean."""
        white = functional.linear(points - self.centre, self.whitening)
        cross = white @ self.centroids.T
        return cross - 0.5 * (white.square().sum(1, keepdim=True) + self.centroids.square().sum(1))


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
    if any(not torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise ClxaiError(f"{path}: tensors of the head are not finite")
    fitted = HEADS[record["head"]].build(tensors, record["options"])
    fitted.facts = record["facts"]
    return fitted.to(device).requires_grad_(False)
