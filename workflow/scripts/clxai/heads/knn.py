"""The soft vote of the nearest training embeddings."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.heads.base import FrozenScores, Head, head
from clxai.networks.neighbours import search, vote_counts


@head(
    "knn",
    options={"k": 200, "temperature": 0.07},
    at_most={"k": "training_images"},
    default_share={"k": 0.2},  # with all of a small bank every point would have the same neighbours
)
class KNearestNeighbours(Head):
    """Soft vote of the k nearest training embeddings by cosine [Wu et al. 2018], as log-sums per class.

    s_c = logsumexp_{i in N_k, y_i = c} cos(z, z_i) / t. A class without a neighbour gets the floor -1/t, the score of one
    neighbour on the far side of the sphere. The hard vote (most neighbours, ties to the higher score) is the prediction.
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

    def neighbours_in(self, bank: Float[Tensor, "item feature"]) -> int:
        """Return k if this is the bank that the head keeps, to rounding; else 0."""
        same = self.bank.shape == bank.shape and torch.allclose(self.bank, bank, rtol=0, atol=1e-6)
        return self.options["k"] if same else 0

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
