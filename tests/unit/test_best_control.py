import numpy as np
import pandas as pd
import pytest
from clxai.measures.best_control import excess_over_best, smallest
from clxai.measures.metrics.base import METRICS
from clxai.measures.statistics import two_way

KEYS = ["model", "method"]


def gains(levels, n_seeds, n_images, n_studies, rng):
    """Gains [seed, image, control x study] over controls of these levels: they share the method's own effects."""
    n = len(levels)
    shape = {"seed": (n_seeds, 1), "image": (1, n_images), "rest": (n_seeds, n_images)}
    parts = [0.1 * rng.normal(size=(*part, 1, n_studies)) for part in shape.values()]  # of the method
    parts += [0.05 * rng.normal(size=(*part, n, n_studies)) for part in shape.values()]  # of each control
    return (sum(parts) + np.array(levels)[:, None]).reshape(n_seeds, n_images, -1)


@pytest.mark.parametrize("levels", [[0.0], [0.0] * 5, [0.0, 0.2, 0.4], [0.0, 0.02, 0.05, 0.05]])
def test_interval_covers_the_excess_over_the_best_control(levels):
    """Where it is 0 the test that all are exceeded rejects in at most 5 % of studies, and the interval holds 0 in 95 %."""
    found = smallest(two_way(gains(levels, 3, 30, 3000, np.random.default_rng(0))), len(levels))
    _, low, high, p, _ = found
    assert np.mean(p < 0.05) <= 0.06
    assert np.mean((low <= 0) & (high >= 0)) >= 0.94


def test_best_control_by_its_own_interval_would_be_claimed_exceeded_too_often_or_too_seldom():
    """Why the limits are not those of the control that did best: that interval lies too low."""
    both = two_way(gains([0.0] * 8, 5, 30, 2000, np.random.default_rng(1)))
    naive = np.take_along_axis(both.interval()[1].reshape(8, -1), both.mean.reshape(8, -1).argmin(0)[None], 0)[0]
    assert np.mean(naive < 0) > 0.035
    assert np.mean(smallest(both, 8)[2] < 0) < 0.035


def table(levels, n_seeds=3, n_images=10):
    """Images of one model whose methods have these levels of srg (or deletion, less is better)."""
    rng, rows = np.random.default_rng(2), []
    for method, level in levels.items():
        for seed in range(n_seeds):
            for image in range(n_images):
                values = {"srg": level + 0.1 * rng.normal(), "auc_deletion": -level + 0.1 * rng.normal()}
                rows.append({"model": "ce", "method": method, "seed": seed, "image": image, **values})
    return pd.DataFrame(rows)


LEVELS = {"lrp": 0.6, "random": 0.0, "ink": 0.3, "sobel": 0.1}


@pytest.mark.parametrize(("metric", "sign"), [("srg", 1), ("auc_deletion", -1)])
def test_excess_is_the_paired_difference_to_the_best_control(metric, sign):
    assert METRICS[metric].semantics["better"] == sign
    images = table(LEVELS)
    found = excess_over_best(images, ["srg", "auc_deletion"], ["random", "ink", "sobel"], KEYS)
    numbers = found[("ce", "lrp"), metric]
    cubes = {name: images[images["method"] == name].pivot(index="seed", columns="image", values=metric) for name in LEVELS}
    alone = two_way((cubes["lrp"] - cubes["ink"]).to_numpy()[..., None])
    assert numbers["best_control"] == "ink"
    assert numbers["excess_best"] == pytest.approx(alone.mean[0])
    assert numbers["excess_best_low" if sign > 0 else "excess_best_high"] == pytest.approx(
        alone.interval()[0 if sign > 0 else 1][0]
    )
    assert numbers["p_best"] == pytest.approx(alone.p_value()[0] / 2)
    assert numbers["excess_best_low"] < numbers["excess_best"] < numbers["excess_best_high"]


def test_with_random_alone_it_is_the_excess_over_random():
    images = table(LEVELS)
    found = excess_over_best(images, ["srg"], ["random"], KEYS)
    difference = [images[images["method"] == name].pivot(index="seed", columns="image", values="srg") for name in LEVELS]
    alone = two_way((difference[0] - difference[1]).to_numpy()[..., None])
    numbers = found[("ce", "lrp"), "srg"]
    low, high = alone.interval()
    expected = [alone.mean[0], low[0], high[0]]
    np.testing.assert_allclose([numbers[f"excess_best{part}"] for part in ("", "_low", "_high")], expected)


def test_a_control_is_compared_with_the_others_and_alone_with_nothing():
    both = excess_over_best(table(LEVELS), ["srg"], ["random", "ink"], KEYS)
    assert both[("ce", "ink"), "srg"]["best_control"] == "random"
    assert both[("ce", "random"), "srg"]["best_control"] == "ink"
    alone = excess_over_best(table(LEVELS), ["srg"], ["random"], KEYS)[("ce", "random"), "srg"]
    assert alone["best_control"] is None
    assert np.isnan(alone["excess_best"])


def test_metric_without_a_direction_has_no_best_control():
    neither = next(name for name, entry in METRICS.items() if entry.semantics["better"] == 0)
    images = table(LEVELS).rename(columns={"srg": neither})
    assert excess_over_best(images, [neither], ["random"], KEYS)[("ce", "lrp"), neither]["best_control"] is None


def test_undefined_control_is_left_out():
    images = table(LEVELS)
    images.loc[images["method"] == "ink", "srg"] = np.nan
    numbers = excess_over_best(images, ["srg"], ["random", "ink", "sobel"], KEYS)[("ce", "lrp"), "srg"]
    assert numbers["best_control"] == "sobel"
    assert np.isfinite(numbers["excess_best_low"])
