"""Every entry of the tables of metrics equals its formula in docs/methods.md, written out here once more with loops.

The numbers of the made-up curves have nothing to do with each other, so that a metric that reads another quantity, order, head,
fill, image or temperature, or scales by another number, gives another value. A new entry without a formula here fails.
"""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.heads.base import Head
from clxai.heads.calibration import head_metrics
from clxai.measures.metrics.base import METRICS, measure
from clxai.measures.metrics.maps import maps_of
from clxai.measures.metrics.masks import Masks
from clxai.measures.summaries import summary_table

HEADS, FILLS, ORDERS, IMAGES = ["b", "a", "c"], ["zero", "mean"], ["lerf", "morf"], [4, 9]
FRACTION, SPREAD = np.array([0.0, 0.1, 0.4, 0.55, 1.0]), 2.5
LIMITS = {"bank_distance": 0.8, "relative_mahalanobis": 0.4}
ATTRS = {"centroid_spread": SPREAD, **{f"clean_{name}": limit for name, limit in LIMITS.items()}}
SCORED = ("probability", "probability_matched", "probability_matched_low", "probability_matched_high", "log_odds")
PATH = ("drift_l2", "drift_cosine", "bank_distance", "centroid_distance", "step_length", "acceleration")
PATH += ("other_distance", "mean_distance", "relative_mahalanobis", "drift_projection")


@pytest.fixture(scope="module")
def dataset():
    """A curves file of three heads whose quantities are independent random numbers; the orders are stored in the other order."""
    rng = np.random.default_rng(11)
    long = ("explained_by", "scored_by", "fill", "order", "image", "step")
    short = ("explained_by", "fill", "order", "image", "step")
    lengths = {"explained_by": 3, "scored_by": 3, "fill": 2, "order": 2, "image": 2, "step": 5}
    values = {name: (long, rng.random([lengths[axis] for axis in long])) for name in SCORED}
    values |= {name: (short, rng.random([lengths[axis] for axis in short])) for name in PATH}
    values["step_length"][1][..., 0] = 0.0
    values["acceleration"][1][..., [0, -1]] = np.nan
    values["prediction"] = (long, rng.integers(3, size=[lengths[axis] for axis in long]))
    values["target"] = (("scored_by", "image"), rng.integers(3, size=(3, 2)))
    coords = {"explained_by": HEADS, "scored_by": HEADS, "fill": FILLS, "order": ORDERS, "image": IMAGES}
    return xarray.Dataset(values, coords={**coords, "fraction": ("step", FRACTION)}, attrs=ATTRS)


@pytest.fixture(scope="module")
def masks():
    """Held-out masks whose numbers have nothing to do with each other: 24 by coins, 24 by the Shapley kernel, of 8 units."""
    rng = np.random.default_rng(12)
    gone, law = rng.integers(1, 8, size=(2, 48)), np.repeat(["shapley", "bernoulli"], 24)
    return Masks(rng.normal(size=(3, 2, 48)), rng.normal(size=(3, 2, 2, 48)), gone, np.array([8, 8]), law)


UNIT = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [2, 2, 2, 3, 3], [4, 4, 2, 3, 3]])


@pytest.fixture(scope="module")
def maps():
    """Signed maps and images of 4x5 px whose numbers have nothing to do with each other, cut into five units of two to six px."""
    rng = np.random.default_rng(13)
    coords = {"head": HEADS, "image": IMAGES}
    made = xarray.Dataset({"attribution": (("head", "image", "y", "x"), rng.normal(size=(3, 2, 4, 5)))}, coords=coords)
    curves = xarray.Dataset({"unit": (("y", "x"), UNIT)}, coords={"explained_by": HEADS, "image": IMAGES})
    return maps_of(curves, made, rng.random((2, 4, 5)))


class Cell:
    """The curves, masks and map of one image for one explaining head, scoring head and fill, as plain lists."""

    def __init__(self, dataset, masks, maps, explained_by, scored_by, fill, image):
        self.dataset, self.all = dataset, masks
        place = IMAGES.index(image)
        self.map, self.image = (
            values.ravel().tolist() for values in (maps.pixels[HEADS.index(explained_by), place], maps.images[place])
        )
        self.where = {"explained_by": explained_by, "scored_by": scored_by, "fill": fill, "image": image}

    def masks(self, *laws):
        """What is told, what is lost and how many units are gone, of each mask of these laws."""
        head, scorer, fill, image = (
            levels.index(name) for levels, name in zip((HEADS, HEADS, FILLS, IMAGES), self.where.values(), strict=True)
        )
        own = [n for n, law in enumerate(self.all.law) if law in laws]
        told, lost, gone = self.all.told[head, image], self.all.lost[scorer, fill, image], self.all.gone[image]
        return [told[n] for n in own], [lost[n] for n in own], [int(gone[n]) for n in own]

    def units(self, pixels):
        """The mean over each unit."""
        return [np.mean([value for value, own in zip(pixels, UNIT.ravel(), strict=True) if own == unit]) for unit in range(5)]

    def active(self):
        """The places that are more than 30 of 80 dB above black."""
        return [place for place, value in enumerate(self.image) if value > 30 / 80]

    def __call__(self, quantity, order):
        if quantity == "kept":
            target = int(self.dataset["target"].sel(scored_by=self.where["scored_by"], image=self.where["image"]))
            return [float(int(predicted) == target) for predicted in self("prediction", order)]
        array = self.dataset[quantity]
        return array.sel(
            {**{key: value for key, value in self.where.items() if key in array.dims}, "order": order}
        ).values.tolist()


def trapezoids(curve, fraction=FRACTION):
    return sum((fraction[j + 1] - fraction[j]) * (curve[j] + curve[j + 1]) / 2 for j in range(len(curve) - 1))


def deletion(quantity):
    return lambda cell: trapezoids(cell(quantity, "morf"))


def insertion(quantity):
    """The fully replaced image, into which the most important units come back one after the other: I(g) = LeRF(1 - g)."""
    return lambda cell: trapezoids(cell(quantity, "lerf")[::-1], [1 - f for f in FRACTION[::-1]])


def gain(quantity):
    return lambda cell: trapezoids(cell(quantity, "lerf")) - trapezoids(cell(quantity, "morf"))


def spearman(cell):
    curve = cell("log_odds", "morf")
    rank = [sum(other < value for other in curve) for value in curve]
    n = len(curve)
    return -(1 - 6 * sum((rank[j] - j) ** 2 for j in range(n)) / (n * (n**2 - 1)))  # no ties among these numbers


def drift_rank(cell):
    curve = cell("drift_l2", "morf")
    rank, n = [sum(other < value for other in curve) for value in curve], len(curve)
    return 1 - 6 * sum((rank[j] - j) ** 2 for j in range(n)) / (n * (n**2 - 1))


def correlation(one, other):
    a, b = sum(one) / len(one), sum(other) / len(other)
    products = sum((x - a) * (y - b) for x, y in zip(one, other, strict=True))
    return products / math.sqrt(sum((x - a) ** 2 for x in one) * sum((y - b) ** 2 for y in other))


def partial(cell):
    """The recursive formula of partial correlations, from the three plain ones."""
    drift, loss = cell("drift_l2", "morf"), [cell("log_odds", "morf")[0] - odds for odds in cell("log_odds", "morf")]
    both, place, other = correlation(drift, loss), correlation(drift, FRACTION), correlation(loss, FRACTION)
    return (both - place * other) / math.sqrt((1 - place**2) * (1 - other**2))


def first_lost(cell, order):
    kept = cell("kept", order)
    return kept.index(0.0) if 0.0 in kept else None


def flip_share(cell):
    step = first_lost(cell, "morf")
    return 1.0 if step is None else FRACTION[step]


def anchor_share(cell):
    """Of three images' numbers the clean one may be lost at once: then all units are needed."""
    step = first_lost(cell, "lerf")
    return 0.0 if step is None else 1 - FRACTION[max(step - 1, 0)]


def within_sizes(cell):
    """Of each mask less the mean of those of its size."""
    told, lost, gone = cell.masks("bernoulli")
    left = [
        [v - np.mean([w for w, m in zip(values, gone, strict=True) if m == n]) for v, n in zip(values, gone, strict=True)]
        for values in (told, lost)
    ]
    return correlation(*left)


def infidelity(scaled):
    def formula(cell):
        told, lost, _ = cell.masks("bernoulli")
        factor = 1.0
        if scaled:
            factor = max(sum(a * d for a, d in zip(told, lost, strict=True)) / sum(a * a for a in told), 0.0)
        return sum((factor * a - d) ** 2 for a, d in zip(told, lost, strict=True)) / sum(d * d for d in lost)

    return formula


def sensitivity(least, most):
    """The correlation of each size with three masks or more, as numpy has it; their mean by masks less one."""

    def formula(cell):
        told, lost, gone = cell.masks("bernoulli", "shapley")
        total = weight = 0.0
        for n in range(9):
            own = [place for place, size in enumerate(gone) if size == n]
            if len(own) >= 3 and least <= n / 8 <= most:
                total += (len(own) - 1) * np.corrcoef([told[place] for place in own], [lost[place] for place in own])[0, 1]
                weight += len(own) - 1
        return total / weight if weight else math.nan

    return formula


def gini(cell):
    """Half the mean difference between two units, over their mean."""
    own = [abs(value) for value in cell.units(cell.map)]
    return sum(abs(one - other) for one in own for other in own) / (2 * len(own) * sum(own))


def entropy(cell):
    own = [abs(value) for value in cell.units(cell.map)]
    return -sum(value / sum(own) * math.log(value / sum(own)) for value in own)


def mass(cell):
    return sum(max(cell.map[place], 0) for place in cell.active()) / sum(max(value, 0) for value in cell.map)


def among_highest(n):
    """The share of the n(cell) highest pixels that is active; there are no ties among these numbers."""

    def formula(cell):
        highest = sorted(range(20), key=lambda place: -cell.map[place])[: n(cell)]
        return len(set(highest) & set(cell.active())) / n(cell)

    return formula


def across(pixels, axis):
    """numpy's correlation of the units on both sides of each pair of neighbouring pixels, listed both ways round."""

    def formula(cell):
        own = cell.units(getattr(cell, pixels))
        pairs = [
            (UNIT[y, x], UNIT[y + (axis == "y"), x + (axis == "x")])
            for y in range(4 - (axis == "y"))
            for x in range(5 - (axis == "x"))
        ]
        both = [(own[a], own[b]) for one, other in pairs if one != other for a, b in ((one, other), (other, one))]
        return np.corrcoef(np.transpose(both))[0, 1]

    return formula


def nearer(quantity):
    return lambda cell: trapezoids([(cell(quantity, "morf")[0] - o) / SPREAD for o in cell(quantity, "morf")])


def outside(quantity):
    return lambda cell: trapezoids([float(d > LIMITS[quantity]) for d in cell(quantity, "morf")])


def gain_inside(cell):
    total = width = 0.0
    for j in range(len(FRACTION) - 1):
        if all(cell("bank_distance", order)[step] <= LIMITS["bank_distance"] for order in ORDERS for step in (j, j + 1)):
            gaps = [cell("probability_matched", "lerf")[step] - cell("probability_matched", "morf")[step] for step in (j, j + 1)]
            total += (FRACTION[j + 1] - FRACTION[j]) * sum(gaps) / 2
            width += FRACTION[j + 1] - FRACTION[j]
    return total / width if width else math.nan


def until(beta, *orders):
    """The mean of one order, or of the second less the first, between 0 and beta: pieces of lines, each cut at beta."""

    def formula(cell):
        curves = [cell("probability_matched", order) for order in orders]
        curve = curves[0] if len(orders) == 1 else [b - a for a, b in zip(*curves, strict=True)]
        total = 0.0
        for j in range(len(curve) - 1):
            start, stop = FRACTION[j], min(FRACTION[j + 1], beta)
            slope = (curve[j + 1] - curve[j]) / (FRACTION[j + 1] - FRACTION[j])
            total += max(stop - start, 0) * (curve[j] + slope * (stop - start) / 2)
        return total / beta

    return formula


def inner(curve):
    return sum(curve[1:-1]) / (len(curve) - 2)


# metric: (formula, better, lowest, highest), as in the table of docs/methods.md
EXPECTED = {
    "auc_deletion": (deletion("probability"), -1, 0, 1),
    "auc_insertion": (insertion("probability"), 1, 0, 1),
    "srg": (gain("probability"), 1, -1, 1),
    "auc_deletion_matched": (deletion("probability_matched"), -1, 0, 1),
    "auc_insertion_matched": (insertion("probability_matched"), 1, 0, 1),
    "srg_matched": (gain("probability_matched"), 1, -1, 1),
    "srg_matched_low": (gain("probability_matched_low"), 1, -1, 1),
    "srg_matched_high": (gain("probability_matched_high"), 1, -1, 1),
    "auc_deletion_kept": (deletion("kept"), -1, 0, 1),
    "auc_insertion_kept": (insertion("kept"), 1, 0, 1),
    "srg_kept": (gain("kept"), 1, -1, 1),
    "auc_deletion_log_odds": (deletion("log_odds"), -1, None, None),
    "auc_insertion_log_odds": (insertion("log_odds"), 1, None, None),
    "srg_log_odds": (gain("log_odds"), 1, None, None),
    "aopc": (
        lambda cell: sum(cell("probability_matched", "morf")[0] - p for p in cell("probability_matched", "morf")) / 5,
        1,
        -1,
        1,
    ),
    "monotonicity": (spearman, 1, -1, 1),
    "drift_auc": (lambda cell: trapezoids(cell("drift_l2", "morf")) / SPREAD, 0, 0, None),
    "drift_srg": (
        lambda cell: (trapezoids(cell("drift_l2", "morf")) - trapezoids(cell("drift_l2", "lerf"))) / SPREAD,
        1,
        None,
        None,
    ),
    "drift_cosine_auc": (deletion("drift_cosine"), 0, 0, 2),
    "off_manifold_auc": (deletion("bank_distance"), -1, 0, 2),
    "centroid_auc": (lambda cell: trapezoids(cell("centroid_distance", "morf")) / SPREAD, 0, 0, None),
    "path_length": (lambda cell: sum(cell("step_length", "morf")) / SPREAD, 0, 0, None),
    "straightness": (lambda cell: cell("drift_l2", "morf")[-1] / sum(cell("step_length", "morf")), 0, 0, 1),
    "roughness": (lambda cell: inner(cell("acceleration", "morf")) / SPREAD, -1, 0, None),
    "roughness_relative": (
        lambda cell: inner(cell("acceleration", "morf")) / sum(cell("step_length", "morf")),
        -1,
        0,
        None,
    ),
    "drift_monotonicity": (drift_rank, 0, -1, 1),
    "largest_step": (lambda cell: max(cell("step_length", "morf")) / sum(cell("step_length", "morf")), 0, 0, 1),
    "drift_follows_loss": (partial, 0, -1, 1),
    "towards_class": (nearer("other_distance"), 0, None, None),
    "towards_mean": (nearer("mean_distance"), 0, None, None),
    "drift_projection_auc": (deletion("drift_projection"), 0, 0, 2),
    "drift_projection_srg": (lambda cell: -gain("drift_projection")(cell), 1, -2, 2),
    "off_manifold_share": (outside("bank_distance"), -1, 0, 1),
    "off_manifold_share_mahalanobis": (outside("relative_mahalanobis"), -1, 0, 1),
    "srg_inside": (gain_inside, 1, -1, 1),
    "auc_deletion_tenth": (until(0.1, "morf"), -1, 0, 1),
    "auc_deletion_half": (until(0.5, "morf"), -1, 0, 1),
    "auc_insertion_tenth": (until(0.1, "lerf"), 1, 0, 1),
    "auc_insertion_half": (until(0.5, "lerf"), 1, 0, 1),
    "srg_tenth": (until(0.1, "morf", "lerf"), 1, -1, 1),
    "srg_half": (until(0.5, "morf", "lerf"), 1, -1, 1),
    "flip_size": (flip_share, -1, 0, 1),
    "never_flipped": (lambda cell: float(first_lost(cell, "morf") is None), 0, 0, 1),
    "anchor_size": (anchor_share, -1, 0, 1),
    "faithfulness_correlation": (within_sizes, 1, -1, 1),
    "infidelity": (infidelity(scaled=False), -1, 0, None),
    "infidelity_scaled": (infidelity(scaled=True), -1, 0, 1),
    "sensitivity_n": (sensitivity(0, 1), 1, -1, 1),
    "sensitivity_n_few": (sensitivity(0, 0.25), 1, -1, 1),
    "sensitivity_n_most": (sensitivity(0.75, 1), 1, -1, 1),
    "sparseness": (gini, 1, 0, 1),
    "complexity": (entropy, -1, 0, None),
    "active_share": (lambda cell: len(cell.active()) / 20, 0, 0, 1),
    "active_mass": (mass, 1, 0, 1),
    "active_rank": (among_highest(lambda cell: len(cell.active())), 1, 0, 1),
    "active_peak": (among_highest(lambda cell: 1), 1, 0, 1),
    "coherence_x": (across("map", "x"), 0, -1, 1),
    "coherence_y": (across("map", "y"), 0, -1, 1),
    "coherence_x_excess": (lambda cell: across("map", "x")(cell) - across("image", "x")(cell), 0, -2, 2),
    "coherence_y_excess": (lambda cell: across("map", "y")(cell) - across("image", "y")(cell), 0, -2, 2),
}


def test_every_metric_has_a_formula_here():
    assert set(METRICS) == set(EXPECTED)


@pytest.mark.parametrize("name", METRICS)
def test_metric_is_its_formula_for_every_head_fill_and_image(dataset, masks, maps, name):
    found = measure(dataset, [name], masks, maps)[name]
    for place in np.ndindex(3, 3, 2, 2):
        where = dict(zip(("explained_by", "scored_by", "fill", "image"), place, strict=True))
        names = [levels[n] for levels, n in zip((HEADS, HEADS, FILLS, IMAGES), place, strict=True)]
        assert float(found.isel(where)) == pytest.approx(
            EXPECTED[name][0](Cell(dataset, masks, maps, *names)), rel=1e-7, nan_ok=True
        )


@pytest.mark.parametrize("name", METRICS)
def test_metric_has_the_documented_direction_and_range(name):
    semantics = METRICS[name].semantics
    assert (semantics["better"], semantics["low"], semantics["high"]) == EXPECTED[name][1:]


@pytest.mark.parametrize("name", METRICS)
def test_summary_carries_each_metric_under_its_own_name_and_direction(name):
    """One number per metric and image, all different."""
    cell = {"explained_by": "a", "scored_by": "a"}
    rows = [
        {"model": "ce", "seed": seed, "units": "grid", "method": method, **cell, "fill": "mean", "image": image}
        for seed in (0, 1)
        for method in ("random", "lrp")
        for image in (0, 1)
    ]
    images = pd.DataFrame(rows)
    for position, column in enumerate(METRICS):
        images[column] = 100.0 * position + np.arange(8) ** 2
    summary = summary_table(images, list(METRICS), 100, 0).set_index(["method", "metric"])
    row, position = summary.loc["lrp", name], list(METRICS).index(name)
    assert row["better"] == EXPECTED[name][1]
    assert row["mean"] == pytest.approx(100 * position + (4 + 9 + 36 + 49) / 4)
    assert row["excess"] == pytest.approx((4 + 9 + 36 + 49) / 4 - (0 + 1 + 16 + 25) / 4)


class _Split(Head):
    """Scores that are read off the embedding; the prediction that counts is another class in places."""

    @classmethod
    def fit(cls, *given):
        raise NotImplementedError

    def point_scores(self, points):
        return points[:, :3]

    def decide(self, embeddings):
        scores = embeddings[:, :3]
        return scores, embeddings[:, 3].long()


SCORES = np.array([[2.0, 0.1, -1.0], [0.3, 0.2, 0.1], [-2.0, 1.5, 1.4], [0.0, 0.5, 3.0], [1.0, -1.0, 0.6], [0.2, 0.9, 0.1]])
PREDICTED, LABELS, TEMPERATURE = [0, 1, 1, 2, 2, 1], [0, 1, 2, 2, 2, 0], 0.45


def softmax(scores):
    return [math.exp(s) / sum(math.exp(other) for other in scores) for s in scores]


def ece(temperature):
    bins = {}
    for scores, predicted, label in zip(SCORES, PREDICTED, LABELS, strict=True):
        confidence = max(softmax(scores / temperature))
        bins.setdefault(min(14, math.floor(15 * confidence)), []).append((confidence, predicted == label))
    return sum(abs(sum(right - confidence for confidence, right in items)) for items in bins.values()) / len(LABELS)


def nll(temperature):
    return -sum(math.log(softmax(s / temperature)[label]) for s, label in zip(SCORES, LABELS, strict=True)) / len(LABELS)


HEAD_EXPECTED = {
    "n_images": 6,
    "accuracy": 4 / 6,
    "ece": ece(1.0),
    "nll": nll(1.0),
    "temperature": TEMPERATURE,
    "temperature_low": 0.4,
    "temperature_high": 0.6,
    "ece_matched": ece(TEMPERATURE),
    "nll_matched": nll(TEMPERATURE),
    "score_vote_agreement": 4 / 6,
}


@pytest.fixture(scope="module")
def of_head():
    embeddings = torch.tensor(np.column_stack([SCORES, PREDICTED])).float()
    ends = {name: torch.tensor(HEAD_EXPECTED[name]) for name in ("temperature", "temperature_low", "temperature_high")}
    return head_metrics(_Split(ends), embeddings, torch.tensor(LABELS))


def test_every_metric_of_a_head_has_a_formula_here(of_head):
    assert list(of_head) == list(HEAD_EXPECTED)


@pytest.mark.parametrize("name", HEAD_EXPECTED)
def test_metric_of_a_head_is_its_formula(of_head, name):
    assert of_head[name] == pytest.approx(HEAD_EXPECTED[name], rel=1e-5)


def test_metrics_of_a_head_differ_so_that_an_exchange_shows():
    values = [HEAD_EXPECTED[name] for name in ("ece", "nll", "ece_matched", "nll_matched", "temperature", "accuracy")]
    assert np.abs(np.subtract.outer(values, values) + np.eye(6)).min() > 0.02
