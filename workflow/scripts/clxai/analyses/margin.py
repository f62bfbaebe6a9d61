"""How far images are from being classified otherwise, and what they would have to become."""

from collections.abc import Mapping
from typing import Any

import torch

from clxai.analyses.base import Payload, View, analysis
from clxai.analyses.boundaries import centroid_distance, nearest_boundary

_OVER = 1.001  # of the way: a little beyond the boundary, to see which class lies there


@analysis(
    "margin",
    payload="table",
    scope="local",
    families=("counterfactual",),
    needs_affine=True,
    gives={
        "distance": {"axes": ("head", "image"), "unit": "own", "shown": "none"},
        "relative": {"axes": ("head", "image"), "unit": "1"},
        "beyond": {"axes": ("head", "image"), "unit": "class", "shown": "none"},
    },
)
def margin(view: View, options: Mapping[str, Any]) -> Payload:
    """The distance |s_c - s_o| / |w_c - w_o| to the nearest boundary of the predicted class, over the mean distance of centroids.

    `beyond` is the class on its other side, -1 and no distance where the head can predict one class alone.
    """
    found: dict[str, list[torch.Tensor]] = {"distance": [], "relative": [], "beyond": []}
    for head in view.heads.values():
        boundary = nearest_boundary(head, view.run.embeddings, head.predict(view.run.embeddings))
        found["distance"].append(boundary.distance)
        found["relative"].append(boundary.distance / centroid_distance(head, *view.run.training_bank(), view.run.data.n_classes))
        found["beyond"].append(boundary.beyond)
    return Payload({name: torch.stack(values) for name, values in found.items()})


@analysis(
    "counterfactual",
    payload="counterfactual",
    scope="local",
    families=("counterfactual",),
    needs_affine=True,
    gives={
        "embedding": {"axes": ("head", "image", "feature"), "unit": "embedding", "shown": "none"},
        "change": {"axes": ("head", "image"), "unit": "embedding", "shown": "none"},
        "relative_change": {"axes": ("head", "image"), "unit": "1"},
        "target": {"axes": ("head", "image"), "unit": "class", "shown": "none"},
        "class_reached": {"axes": ("head", "image"), "unit": "class", "shown": "none"},
        "residual": {"axes": ("head", "image"), "unit": "nat"},
        "flips": {"axes": ("head", "image"), "unit": "1"},
    },
)
def counterfactual(view: View, options: Mapping[str, Any]) -> Payload:
    """The nearest embedding that the head gives to another class as much as to its own: z - m w / |w|^2, m = s_c - s_o = w.z + b.

    For heads on the unit sphere the nearest one of the same norm. It is a direction of the head, not of the image. `change` is
    its distance, `relative_change` that over the embedding's norm; `residual` is what the head itself says of |s_c - s_o| there,
    and `flips` whether it predicts the other class a thousandth of the way beyond.
    """
    found: dict[str, list[torch.Tensor]] = {}
    for head in view.heads.values():
        clean, own = view.run.embeddings, head.predict(view.run.embeddings)
        boundary = nearest_boundary(head, clean, own)
        there, change = boundary.embedding, boundary.embedding - clean
        known, beyond = boundary.beyond >= 0, boundary.beyond.clamp(min=0)
        at = torch.where(known[:, None], there, clean).float()
        scores = head(at)
        gap = (scores.gather(1, own[:, None]) - scores.gather(1, beyond[:, None])).abs().squeeze(1)
        reached = head.predict(torch.where(known[:, None], clean + _OVER * change, clean).float())
        row = {"embedding": there, "change": change.norm(dim=1), "target": own}
        row |= {"relative_change": row["change"] / clean.norm(dim=1), "class_reached": torch.where(known, reached, -1)}
        row |= {"residual": gap.where(known, torch.nan), "flips": (reached == beyond).double().where(known, torch.nan)}
        for name, values in row.items():
            found.setdefault(name, []).append(values)
    return Payload({name: torch.stack(values) for name, values in found.items()})
