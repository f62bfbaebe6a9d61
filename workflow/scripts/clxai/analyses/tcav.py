"""Testing with concept activation vectors: whether a concept that users name moves what a head says of a class."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from clxai.analyses.activations import layer_means, mean_slopes
from clxai.analyses.base import Payload, View, analysis
from clxai.analyses.concepts import drawn, shows
from clxai.errors import ClxaiError
from clxai.keys import key_of

_CHANCE = 0.5  # the share of positive slopes along a direction that means nothing
ALPHA = 0.05  # a family of tests that cannot reach it tests nothing


@analysis(
    "tcav",
    payload="table",
    scope="aggregated",
    families=("concept", "gradient"),
    seeding="keyed",
    planning="clxai.analyses.concepts",
    options={
        "concepts": {"bright": "brightness"},
        "layers": (),
        "images": 50,
        "random": 5000,
        "pool": 1000,
        "least_accuracy": 0.7,
    },
    at_least={"images": 5, "random": 200, "least_accuracy": 0.0},
    at_most={"least_accuracy": 1.0, "pool": "training_images"},
    gives={
        "score": {"axes": ("head", "layer", "concept", "class"), "unit": "1"},
        "magnitude": {"axes": ("head", "layer", "concept", "class"), "unit": "1"},
        "p": {"axes": ("head", "layer", "concept", "class"), "unit": "1", "shown": "test"},
        "p_magnitude": {"axes": ("head", "layer", "concept", "class"), "unit": "1", "shown": "test"},
        "least_p": {"axes": ("head", "layer", "class"), "unit": "1", "shown": "each"},
        "null_mean": {"axes": ("head", "layer", "class"), "unit": "1"},
        "null_sd": {"axes": ("head", "layer", "class"), "unit": "1"},
        "accuracy": {"axes": ("layer", "concept"), "unit": "1"},
        "accepted": {"axes": ("layer", "concept"), "unit": "1", "shown": "each"},
        "n_images": {"axes": ("head", "class"), "unit": "count", "shown": "each"},
    },
)
def tcav(view: View, options: Mapping[str, Any]) -> Payload:
    """The share of images of a class whose log-odds rise along a concept's direction in a layer, against random concepts.

    The direction is the difference of the mean activations of `images` training images with the concept and as many without.
    `magnitude` is the mean cosine of direction and slope, which does not count a slope of nothing as much as a steep one. Both
    p-values are two-sided, (1 + random concepts at least as far from what means nothing) / (1 + `random`): those are differences
    of as many images drawn without regard to anything. `least_p` is the smallest that the share can have at all: where slopes of
    a class are all alike, it is 0 or 1 for most random concepts too. A direction that tells fewer than `least_accuracy` of as
    many other images apart is not accepted, and has neither scores nor p-values.
    """
    layers, names = options["layers"], list(options["concepts"])
    pool = view.training("tcav", options["pool"])
    rng = np.random.default_rng(key_of("tcav", view.seed))
    sides = [_images_of(view, options, name, pool, rng) for name in names]
    null = _random_sides(len(pool), options["images"], options["random"], rng)
    means, slopes = layer_means(view.run.encoder, view.run, pool, layers), mean_slopes(view, layers)
    classes = {name: head.predict(view.run.embeddings).cpu().numpy() for name, head in view.heads.items()}
    counts = np.stack([np.bincount(own, minlength=view.run.data.n_classes) for own in classes.values()])
    _check_reach(options, int((counts > 0).sum()))
    fitted = {layer: _directions(means[layer], [fit for fit, _ in sides]) for layer in layers}
    accuracy = np.stack([[_held_out(means[layer], fit, held) for fit, held in sides] for layer in layers])
    accepted = accuracy >= options["least_accuracy"]
    found: dict[str, list[ndarray]] = {}
    for name, own in classes.items():
        for place, layer in enumerate(layers):
            directions = np.concatenate([fitted[layer], _directions(means[layer], null)])
            row = _tested(slopes[name][layer].cpu().numpy(), own, directions, len(names), view.run.data.n_classes)
            for word in ("score", "magnitude", "p", "p_magnitude"):
                row[word][~accepted[place]] = np.nan
            for word, values in row.items():
                found.setdefault(word, []).append(values)
    shape = (len(classes), len(layers))
    values = {word: np.stack(parts).reshape(*shape, *parts[0].shape) for word, parts in found.items()}
    values |= {"accuracy": accuracy, "accepted": accepted.astype(int), "n_images": counts}
    return Payload(values, {"layer": layers, "concept": names})


def _images_of(
    view: View, options: Mapping[str, Any], name: str, pool: Int[ndarray, " item"], rng: np.random.Generator
) -> tuple[Int[ndarray, "side n"], Int[ndarray, "side n"]]:
    """Return the images of a concept, to fit on and to judge by, as places in the pool."""
    where = f"concept {name!r} of tcav"
    return drawn(shows(options["concepts"][name], view.run.data, pool, where), options["images"], rng, where)


def _random_sides(n_pool: int, n: int, n_random: int, rng: np.random.Generator) -> Int[ndarray, "random side n"]:
    """Return the images of random concepts as places in the pool, all of one concept different."""
    if n_pool < 2 * n:
        raise ClxaiError(
            f"tcav: random concepts need {2 * n} training images, there are {n_pool}: lower `images` to {n_pool // 2}"
        )
    return np.stack([rng.choice(n_pool, 2 * n, replace=False) for _ in range(n_random)]).reshape(n_random, 2, n)


def _check_reach(options: Mapping[str, Any], n_classes: int) -> None:
    """Raise ClxaiError if no p-value could stay below 5 % after Holm's correction; `n_classes` over all heads."""
    n_tests = n_classes * len(options["layers"]) * len(options["concepts"])
    if n_tests / (options["random"] + 1) > ALPHA:
        raise ClxaiError(
            f"tcav: with {n_tests} tests and {options['random']} random concepts no corrected p-value can reach {ALPHA}: raise "
            f"`random` to {math.ceil(n_tests / ALPHA)}, or name fewer layers or concepts"
        )


def _directions(means: Float[ndarray, "item channel"], sides: Any) -> Float[ndarray, "concept channel"]:
    """Return the unit difference of the means of both sides of each concept; 0 where they do not differ."""
    difference = np.stack([means[with_it].mean(axis=0) - means[without].mean(axis=0) for with_it, without in sides])
    length = np.linalg.norm(difference, axis=1, keepdims=True)
    return np.divide(difference, length, out=np.zeros_like(difference), where=length > 0)


def _held_out(means: Float[ndarray, "item channel"], fit: Int[ndarray, "side n"], held: Int[ndarray, "side n"]) -> float:
    """Return the share of held-out images on the right side of the middle between both means, along their difference."""
    (direction,) = _directions(means, [fit])
    middle = means[fit].mean(axis=(0, 1)) @ direction
    return float(((means[held[0]] @ direction > middle).mean() + (means[held[1]] @ direction <= middle).mean()) / 2)


def _tested(
    slopes: Float[ndarray, "image channel"],
    classes: Int[ndarray, " image"],
    directions: Float[ndarray, "direction channel"],
    n_concepts: int,
    n_classes: int,
) -> dict[str, Float[ndarray, "..."]]:
    """Return scores and p-values [concept, class] of the first directions against the others, and these by themselves [class]."""
    along = slopes @ directions.T
    length = np.linalg.norm(slopes, axis=1, keepdims=True)
    cosine = np.divide(along, length, out=np.zeros_like(along), where=length > 0)
    share, magnitude = (_class_means(values, classes, n_classes) for values in ((along > 0).astype(float), cosine))
    null = share[n_concepts:]
    return {
        "score": share[:n_concepts],
        "magnitude": magnitude[:n_concepts],
        "p": permutation_p(share[:n_concepts], null, _CHANCE),
        "p_magnitude": permutation_p(magnitude[:n_concepts], magnitude[n_concepts:], 0.0),
        "least_p": permutation_p(np.ones_like(null[:1]), null, _CHANCE)[0] + null[0] * 0,
        "null_mean": null.mean(axis=0),
        "null_sd": null.std(axis=0, ddof=1),
    }


def _class_means(
    values: Float[ndarray, "image direction"], classes: Int[ndarray, " image"], n_classes: int
) -> Float[ndarray, "direction class"]:
    """Return the mean over the images of each class, NaN for a class without any."""
    member = classes[:, None] == np.arange(n_classes)
    count = member.sum(axis=0)
    return values.T @ member / np.where(count, count, np.nan)


def permutation_p(
    values: Float[ndarray, "concept class"], null: Float[ndarray, "random class"], centre: float
) -> Float[ndarray, "concept class"]:
    """Return (1 + #{|null - centre| >= |value - centre|}) / (1 + R), two-sided [Phipson, Smyth 2010]; NaN where undefined."""
    far, those = np.abs(values - centre), np.abs(null - centre)
    as_far = (those[None] >= far[:, None] - 1e-9).sum(axis=1)  # equal shares differ by rounding
    return np.where(np.isnan(far), np.nan, (1 + as_far) / (1 + len(null)))
