"""Heads that are affine in the head's points: the network's own layer, and logistic regression."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.heads.base import Head, head


class _Affine(Head):
    """Scores W x + b on the head's points."""

    def point_scores(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        return functional.linear(points, self.weight, self.bias)

    def planes(self) -> tuple[Float[Tensor, "class feature"], Float[Tensor, " class"]]:
        """Return W and b."""
        return self.weight.double(), self.bias.double()


@head("softmax", needs_classifier=True, affine=True)
class Softmax(_Affine):
    """The network's own classification layer: logits W z + b on the raw embedding."""

    @classmethod
    def fit(
        cls,
        embeddings: Float[Tensor, "image feature"],
        labels: Int[Tensor, " image"],
        n_classes: int,
        options: Mapping[str, Any],
        classifier: nn.Linear | None = None,
    ) -> Head:
        """Take over the classifier. Raises ClxaiError if the network has none."""
        if classifier is None:
            raise ClxaiError("head 'softmax' needs a network with a classifier; this one was trained with a projection")
        return cls({"weight": classifier.weight.detach().clone(), "bias": classifier.bias.detach().clone()}, options)


@head("linear", affine=True, options={"C": 10.0})
class Linear(_Affine):
    """Multinomial logistic regression on the unit embedding, run to convergence (scikit-learn, L-BFGS); C as there."""

    unit = True

    @classmethod
    def fit(
        cls,
        embeddings: Float[Tensor, "image feature"],
        labels: Int[Tensor, " image"],
        n_classes: int,
        options: Mapping[str, Any],
        classifier: nn.Linear | None = None,
    ) -> Head:
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
