"""Gaussian classes with one covariance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.heads.base import Head, head
from clxai.heads.gaussians import fit_gaussian
from clxai.networks.embeddings import class_means


@head("mahalanobis", affine=True)
class Mahalanobis(Head):
    """Tied-covariance Gaussian classes on the unit embedding: s_c = -1/2 (u - mu_c)' S^-1 (u - mu_c) [Lee et al. 2018].

    S is the pooled within-class covariance, shrunk towards a multiple of the identity [Ledoit, Wolf 2004], because
    contrastive embeddings collapse to about C - 1 directions; the unit norm follows Mahalanobis++ [Mueller, Hein 2025].
    """

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
        """Estimate class means and the shrunk covariance in float64; keep S^-1/2 from its Cholesky factor.

        Raises ClxaiError if there are not more images than classes, or if the covariance is singular.
        """
        if len(embeddings) <= n_classes:
            raise ClxaiError(f"head 'mahalanobis' needs more training images than {n_classes} classes. Got {len(embeddings)}")

        units = functional.normalize(embeddings, dim=1).double().cpu()
        labels = labels.cpu()
        means = class_means(units, labels, n_classes)
        residuals = (units - means[labels]).numpy()
        found = fit_gaussian(residuals, n_classes)
        if found.whitening is None:
            raise ClxaiError(
                f"head 'mahalanobis': the within-class covariance of the {len(residuals)} training embeddings is singular (mean "
                f"variance {residuals.var():.3g}): the embeddings of a class are all the same. Lower learning_rate or epochs of "
                "the model's recipe, or leave mahalanobis out of study.heads"
            )
        whitening = found.whitening
        centre = means.mean(dim=0)
        tensors = {"centre": centre, "whitening": whitening, "centroids": (means - centre) @ whitening.T}
        fitted = cls({name: tensor.float() for name, tensor in tensors.items()}, options)
        fitted.facts = {"shrinkage": found.shrinkage, "condition_number": float(np.linalg.cond(found.covariance))}
        return fitted

    def point_scores(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image class"]:
        """Return minus half the squared Mahalanobis distance to each class mean."""
        white = self._white(points)
        cross = white @ self.centroids.T
        return cross - 0.5 * (white.square().sum(1, keepdim=True) + self.centroids.square().sum(1))

    def coordinates(self, embeddings: Float[Tensor, "image feature"]) -> Float[Tensor, "image feature"]:
        """Return whitened points: their distances are Mahalanobis distances."""
        return self._white(self.points(embeddings))

    def planes(self) -> tuple[Float[Tensor, "class feature"], Float[Tensor, " class"]]:
        """Return S^-1 mu_c and -1/2 mu_c' S^-1 mu_c, means from their centre: all classes share the square of the point."""
        centroids, whitening = self.centroids.double(), self.whitening.double()
        weight = centroids @ whitening
        return weight, -weight @ self.centre.double() - 0.5 * centroids.square().sum(1)

    def _white(self, points: Float[Tensor, "image feature"]) -> Float[Tensor, "image feature"]:
        return functional.linear(points - self.centre, self.whitening)
