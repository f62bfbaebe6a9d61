"""Where the classes of an affine head meet: the nearest such boundary to a point, and the point on it, in closed form.

Differences of two scores are affine in the head's points, s_c - s_o = w.x + b, so that the region of a class is cut out by
planes; its complement is as far away as the nearest of these. On the unit sphere a plane is a circle of latitude around w: x lies
at latitude arcsin(w.x / |w|), the circle at arcsin(-b / |w|), and the shortest way leads along the meridian.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from clxai.heads.base import Head
from clxai.networks.embeddings import class_means
from clxai.runtime.chunks import in_chunks
from clxai.runtime.memory import rows_at_once


class Boundary(NamedTuple):
    """The nearest boundary of each image's class: how far it is, the class beyond, the embedding on it; NaN where there is none.

    Distances are those of the head's points: Euclidean in the embedding, or for heads on the unit sphere along it, in radian.
    """

    distance: Float[Tensor, " image"]
    beyond: Int[Tensor, " image"]
    embedding: Float[Tensor, "image feature"]


def nearest_boundary(head: Head, embeddings: Float[Tensor, "image feature"], own: Int[Tensor, " image"]) -> Boundary:
    """Return the nearest boundary of the class `own` of each embedding."""
    weight, bias = head.planes()

    def compute(rows: Tensor) -> Boundary:
        normal, offset = weight[own[rows], None] - weight, bias[own[rows], None] - bias
        return _nearest(head.points(embeddings[rows].double()), normal, offset, own[rows], head.unit)

    rows = torch.arange(len(embeddings), device=embeddings.device)
    together = rows_at_once(weight.numel(), embeddings.device)
    parts = in_chunks(compute, rows, together, "boundaries")
    distance, beyond, points = (torch.cat(found) for found in zip(*parts, strict=True))
    scale = embeddings.double().norm(dim=1, keepdim=True) if head.unit else 1.0
    return Boundary(distance, beyond, scale * points)


def _nearest(
    points: Float[Tensor, "image feature"],
    normal: Float[Tensor, "image class feature"],
    offset: Float[Tensor, "image class"],
    own: Int[Tensor, " image"],
    unit: bool,
) -> Boundary:
    length = normal.norm(dim=2)
    margin = torch.einsum("nf,ncf->nc", points, normal) + offset
    height, plane = (margin - offset) / length, -offset / length  # along the normal: of the point, of the boundary
    distance = (height.clamp(-1, 1).arcsin() - plane.arcsin()).abs() if unit else (height - plane).abs()
    absent = distance.isnan().scatter(1, own[:, None], True)
    nearest = distance.masked_fill(absent, torch.inf).min(dim=1)
    there, chosen = torch.isfinite(nearest.values), nearest.indices[:, None]
    direction = functional.normalize(normal.gather(1, chosen[..., None].expand(-1, -1, points.shape[1])).squeeze(1), dim=1)
    own_height, its_plane = height.gather(1, chosen), plane.gather(1, chosen)
    across = points - own_height * direction
    if unit:
        across = (1 - its_plane.square()).sqrt() * functional.normalize(across, dim=1)
    missing = torch.full_like(nearest.values, torch.nan)
    found = torch.where(there[:, None], across + its_plane * direction, missing[:, None])
    return Boundary(torch.where(there, nearest.values, missing), torch.where(there, nearest.indices, -1), found)


def centroid_distance(
    head: Head, bank: Float[Tensor, "item feature"], labels: Int[Tensor, " item"], n_classes: int
) -> Float[Tensor, ""]:
    """Return the mean distance between two class centroids of the training images, as `Boundary` measures distances."""
    centroids = class_means(head.points(bank).double(), labels, n_classes)
    centroids = centroids[torch.isfinite(centroids).all(dim=1)]  # a class may have no training image
    if not head.unit:
        return torch.pdist(centroids).mean()
    unit = functional.normalize(centroids, dim=1)
    pairs = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    return (unit @ unit.T).clamp(-1, 1).arccos()[pairs[0], pairs[1]].mean()
