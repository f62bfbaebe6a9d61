"""The covariance of embeddings around their means, shrunk so that it can be inverted, and the map that makes it the identity."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor


class Gaussian(NamedTuple):
    """A shrunk covariance, the weight of the shrinkage, and S^-1/2 by its Cholesky factor; None where it is singular."""

    covariance: Float[ndarray, "feature feature"]
    shrinkage: float
    whitening: Float[Tensor, "feature feature"] | None


def fit_gaussian(residuals: Float[ndarray, "image feature"], n_means: int) -> Gaussian:
    """Return the covariance of residuals about `n_means` fitted means, float64.

    Shrunk towards a multiple of the identity [Ledoit, Wolf 2004], and scaled by N / (N - n_means): the means cost degrees of
    freedom. There must be more residuals than means.
    """
    from sklearn.covariance import ledoit_wolf

    covariance, shrinkage = ledoit_wolf(residuals, assume_centered=True)
    covariance *= len(residuals) / (len(residuals) - n_means)
    factor, failed = torch.linalg.cholesky_ex(torch.tensor(covariance))
    if failed or not torch.isfinite(factor).all():
        return Gaussian(covariance, float(shrinkage), None)
    identity = torch.eye(len(factor), dtype=torch.float64)
    return Gaussian(covariance, float(shrinkage), torch.linalg.solve_triangular(factor, identity, upper=False))
