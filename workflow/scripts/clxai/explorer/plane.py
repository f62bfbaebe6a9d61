"""The plane in which a study's paths are drawn: the first two principal components of a network's training embeddings."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.decomposition import PCA

from clxai.data.datasets import ImageData

MOST_POINTS = 600  # training images that are drawn, evenly spaced


@dataclass(frozen=True)
class Plane:
    """Principal components of the training embeddings, as the figure `trajectories` draws them."""

    components: PCA
    points: Float[ndarray, "item 2"]
    labels: Int[ndarray, " item"]
    medians: Float[ndarray, "class 2"]

    @classmethod
    def of(cls, embeddings: Float[ndarray, "image feature"], data: ImageData) -> "Plane":
        """Fit the plane to the training images of a data set; `embeddings` are those of all images."""
        train = data.indices("train")
        components = PCA(2, random_state=0).fit(embeddings[train])
        points, labels = components.transform(embeddings[train]), data.labels[train]
        medians = np.stack([np.median(points[labels == label], axis=0) for label in range(data.n_classes)])
        shown = np.linspace(0, len(train) - 1, min(len(train), MOST_POINTS)).round().astype(int)
        return cls(components, points[shown], labels[shown], medians)

    def __call__(self, embeddings: Float[ndarray, "*batch feature"]) -> Float[ndarray, "*batch 2"]:
        """Return where embeddings lie."""
        flat = embeddings.reshape(-1, embeddings.shape[-1])
        return self.components.transform(flat).reshape(*embeddings.shape[:-1], 2)

    @property
    def shares(self) -> list[float]:
        """The shares of the variance that the two axes explain."""
        return [float(share) for share in self.components.explained_variance_ratio_]
