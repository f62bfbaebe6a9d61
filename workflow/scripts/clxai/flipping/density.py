"""How far embeddings lie from the training embeddings, as Gaussian classes relative to one Gaussian for all of them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.heads.gaussians import fit_gaussian
from clxai.networks.embeddings import class_means


@dataclass(frozen=True)
class Density:
    """min_c MD_c(u) - MD_0(u) of unit embeddings u [Ren et al. 2021], squared Mahalanobis distances.

    MD_c is to the mean of class c by the covariance within classes, MD_0 to the mean of all by the covariance about it. Large:
    far from every class, farther than from what the classes have in common. `whitening` has both maps S^-1/2 side by side,
    `centre` is the mean of all, `classes` the class means about it, whitened.
    """

    centre: Float[Tensor, " feature"]
    whitening: Float[Tensor, "feature both"]
    classes: Float[Tensor, "class feature"]

    @classmethod
    def of(cls, bank: Float[Tensor, "item feature"], labels: Int[Tensor, " item"], n_classes: int) -> "Density | None":
        """Fit both Gaussians to raw training embeddings, in float64; None, said in the log, if one of them is singular."""
        units = functional.normalize(bank, dim=1).double().cpu()
        labels = labels.cpu()
        means, centre = class_means(units, labels, n_classes), units.mean(dim=0)
        if len(units) <= n_classes:
            return _singular(f"{len(units)} training images for {n_classes} classes")
        within = fit_gaussian((units - means[labels]).numpy(), n_classes).whitening
        common = fit_gaussian((units - centre).numpy(), 1).whitening
        if within is None or common is None:
            return _singular("the covariance of the training embeddings is singular")
        parts = centre, torch.cat([within.T, common.T], dim=1), (means - centre) @ within.T
        return cls(*(part.to(bank) for part in parts))

    def __call__(self, units: Float[Tensor, "image feature"]) -> Float[Tensor, " image"]:
        """Return the relative distance of unit embeddings."""
        within, common = ((units - self.centre) @ self.whitening).chunk(2, dim=1)
        to_class = (self.classes.square().sum(dim=1) - 2 * within @ self.classes.T).amin(dim=1)
        return to_class + within.square().sum(dim=1) - common.square().sum(dim=1)


def _singular(why: str) -> None:
    print(f"relative_mahalanobis stays empty: {why}", flush=True)
