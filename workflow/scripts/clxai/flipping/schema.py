"""What a curves file holds: every variable with its axes, type, unit and meaning. One place for those who write and who read."""

from typing import NamedTuple

PATH = ("explained_by", "fill", "order", "image", "step")
SCORED = ("explained_by", "scored_by", "fill", "order", "image", "step")


class Variable(NamedTuple):
    """Axes, unit, meaning, and type in the file."""

    axes: tuple[str, ...]
    unit: str
    text: str
    dtype: str = "float32"


# Read off every perturbed image, by `observing.Observer`.
QUANTITIES = {
    "probability": Variable(SCORED, "1", "softmax probability of the target at temperature 1"),
    "probability_matched": Variable(SCORED, "1", "the same at the head's fitted temperature"),
    "probability_matched_low": Variable(SCORED, "1", "the same at the lower end of the temperature's interval"),
    "probability_matched_high": Variable(SCORED, "1", "the same at the upper end of the temperature's interval"),
    "log_odds": Variable(SCORED, "nat", "score of the target minus logsumexp of the others"),
    "prediction": Variable(SCORED, "class", "predicted class", "int16"),
    "drift_l2": Variable(PATH, "embedding", "Euclidean distance to the clean embedding"),
    "drift_cosine": Variable(PATH, "1", "1 - cosine with the clean embedding"),
    "bank_distance": Variable(PATH, "1", "distance to the k-th nearest training embedding, unit sphere"),
    "centroid_distance": Variable(PATH, "embedding", "distance to the centroid of the explaining head's target"),
    "other_distance": Variable(PATH, "embedding", "distance to the nearest centroid of a class other than that target"),
    "mean_distance": Variable(PATH, "embedding", "distance to the mean of all training embeddings"),
    "relative_mahalanobis": Variable(
        PATH, "1", "squared Mahalanobis distance to the nearest class less that to all classes as one; empty: singular covariance"
    ),
    "drift_projection": Variable(PATH, "1", "distance to the clean projection, unit sphere; empty: the network has none"),
    "step_length": Variable(PATH, "embedding", "distance to the embedding one step before"),
    "acceleration": Variable(PATH, "embedding", "norm of the second divided difference against the removed fraction"),
}
OWNED = ("centroid_distance", "other_distance")  # depend on the explaining head by its target, whoever explained
# Of these, an attribute `clean_{name}` holds what CLEAN_SHARE of the clean test images do not exceed.
LIMITED, CLEAN_SHARE = ("bank_distance", "relative_mahalanobis"), 0.95
TRAJECTORY = Variable(
    ("explained_by", "fill", "order", "trajectory", "step", "feature"), "embedding", "embeddings of the first images"
)
# Of the images, the maps and the cut, whatever is removed.
RANKING = {
    "tie_fraction": Variable(("explained_by", "image"), "1", "share of tied units"),
    "degenerate": Variable(
        ("explained_by", "image"), "1", "1: the map was constant or not finite, its units are in random order", "int8"
    ),
    "target": Variable(("scored_by", "image"), "class", "class that the scoring head predicts for the clean image", "int16"),
    "n_units": Variable(("image",), "1", "number of units of the image", "int32"),
}
UNIT = "unit"  # the label map, [y, x] where all images share one, else [image, y, x]: the unit of each pixel, from 0
