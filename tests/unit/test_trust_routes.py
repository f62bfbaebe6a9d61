"""Routes by which models are compared, and the normalised area over the curve."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from clxai.measures.trust.assessing import CONTRAST_COLUMNS
from clxai.measures.trust.base import Method, alone
from clxai.measures.trust.claims import CLAIM_COLUMNS, claim_table
from clxai.measures.trust.intervals import draws_of, measure, summarise
from clxai.measures.trust.routes import naopc, routes

SETUP = ("grid", "mean")
SEARCHED = {"units": "grid", "fill": "mean", "width": 1, "at_once": 1}
CONTROLS = [
    Method("random", "random", ("control",)),
    Method("best", "best_order", ("control",), SEARCHED),
    Method("worst", "worst_order", ("control",), SEARCHED),
]
METHODS = [*CONTROLS, *(Method(name, name, ("gradient",)) for name in ("ig", "lrp"))]


def curves_of(rng, sharpness=1.0):
    """Probabilities [seed, image, method, order, step] that fall from the same start to the same end; best falls at once."""
    fall = np.linspace(0, 1, 9)
    powers = np.stack(
        [np.full((2, 6), 1.0), np.full((2, 6), 0.1), np.full((2, 6), 9.0), *rng.uniform(0.3, 3, (2, 2, 6))], axis=-1
    )
    morf = 1 - fall ** powers[..., None]
    odds = 6 * sharpness * (np.stack([morf, morf[..., ::1] ** 0.5], axis=-2) - 0.5)
    return 1 / (1 + np.exp(-odds))


def panel_of(curves, methods=METHODS, setup=SETUP):
    areas = np.trapezoid(curves, dx=1 / 8, axis=-1)
    scores = {"auc_deletion_matched": areas[..., 0], "auc_insertion_matched": areas[..., 1]}
    srg = areas[..., 1] - areas[..., 0]
    return replace(alone({**scores, "srg_matched": srg, "srg_kept": 0.5 * srg}, methods), setup=setup)


def test_normalised_area_is_that_of_the_area_over_the_curve():
    """(AOPC - AOPC_low) / (AOPC_up - AOPC_low) [Edin et al. 2025, section 4], AOPC by trapezoids, with loops."""
    curves = curves_of(np.random.default_rng(0))
    found = naopc(panel_of(curves))
    assert found.shape == (2, 6, 2)
    for seed, image in np.ndindex(2, 6):
        aopc = [[np.trapezoid(order[0] - order, dx=1 / 8) for order in method] for method in curves[seed, image]]
        low, up = np.min(aopc), np.max(aopc)
        for place, method in enumerate((3, 4)):
            assert found[seed, image, place] == pytest.approx((aopc[method][0] - low) / (up - low))


def test_normalised_area_is_that_of_all_orders_as_published():
    """AOPC = 1/N sum_(k=1..N) (p_0 - p_k), bounded by the least and the most of all N! orders [Edin et al. 2025, eq. 1 to 3]."""
    rng = np.random.default_rng(5)
    left = {gone: rng.random() for size in range(6) for gone in combinations(range(5), size)}  # p of what is left

    def curve(order):
        return np.array([left[tuple(sorted(order[:k]))] for k in range(6)])

    every = {order: curve(order) for order in permutations(range(5))}
    aopc = {order: np.sum(values[0] - values[1:]) / 5 for order, values in every.items()}
    best, worst = (choose(aopc, key=aopc.get) for choose in (max, min))
    shown = [(0, 1, 2, 3, 4), best, worst, (3, 1, 4, 0, 2), (2, 4, 0, 1, 3)]
    curves = np.array([[every[order], every[order[::-1]]] for order in shown])[None, None]
    areas = np.trapezoid(curves, dx=1 / 5, axis=-1)
    panel = alone({"auc_deletion_matched": areas[..., 0], "auc_insertion_matched": areas[..., 1]}, METHODS)
    expected = [(aopc[order] - aopc[worst]) / (aopc[best] - aopc[worst]) for order in shown[3:]]
    np.testing.assert_allclose(naopc(panel)[0, 0], expected, rtol=1e-12)


def test_extremes_are_one_and_nought():
    found = naopc(panel_of(curves_of(np.random.default_rng(1))), ["best", "worst"])
    np.testing.assert_allclose(found[..., 0], 1)
    assert found[..., 1].min() >= 0


def test_areas_scaled_and_shifted_have_the_same_normalised_area():
    """As of a model that is less sure: areas between .4 and .5 where those of another lie between 0 and 1."""
    one = panel_of(curves_of(np.random.default_rng(2)))
    other = alone({name: 0.4 + 0.1 * values for name, values in one.scores.items()}, METHODS)
    np.testing.assert_allclose(naopc(other), naopc(one))
    assert np.abs(routes(other)["matched_excess"]).max() < 0.2 * np.abs(routes(one)["matched_excess"]).max()


def test_curves_that_are_all_alike_have_no_normalised_area():
    assert np.isnan(
        naopc(alone(dict.fromkeys(("auc_deletion_matched", "auc_insertion_matched"), np.ones((1, 2, 5))), METHODS))
    ).all()


def test_routes_are_means_over_methods_and_their_excess():
    panel = panel_of(curves_of(np.random.default_rng(3)))
    found = routes(panel)
    assert list(found) == ["matched", "matched_excess", "kept", "kept_excess", "naopc"]
    np.testing.assert_allclose(found["kept"], panel.scores["srg_kept"][..., 3:].mean(-1))
    np.testing.assert_allclose(found["kept_excess"], found["kept"] - panel.scores["srg_kept"][..., 0])
    np.testing.assert_allclose(found["naopc"], naopc(panel).mean(-1) - naopc(panel, ["random"])[..., 0])
    value, low, high = summarise(measure(routes, panel, draws_of(6, 0))["naopc"])
    assert low <= value <= high


@pytest.mark.parametrize("setup", [("grid", "zero"), ("coarse", "mean"), None])
def test_a_setup_whose_orders_were_not_searched_has_no_normalised_route(setup):
    found = routes(panel_of(curves_of(np.random.default_rng(3)), setup=setup))
    assert list(found) == ["matched", "matched_excess", "kept", "kept_excess"]


@pytest.mark.parametrize("absent", ["best", "worst"])
def test_without_both_orders_there_is_no_normalised_route(absent):
    methods = [method if method.name != absent else Method(absent, "sobel", ("control",)) for method in METHODS]
    assert "naopc" not in routes(panel_of(curves_of(np.random.default_rng(4)), methods))


@pytest.mark.parametrize(
    ("intervals", "claim"),
    [
        ([(0.1, 0.2), (0.01, 0.3)], "higher"),
        ([(-0.2, -0.1), (-0.3, -0.01)], "lower"),
        ([(0.1, 0.2), (-0.3, -0.01)], "contradiction"),
        ([(0.1, 0.2), (-0.3, 0.1)], "partly"),
        ([(-0.1, 0.2), (0.0, 0.1)], "none"),
        ([(0.1, 0.2), (np.nan, np.nan)], "undefined"),
    ],
)
def test_routes_claim_something_together_or_not(intervals, claim):
    place = {"model": "supcon", "minus": "ce", "head": "knn", "units": "grid", "fill": "mean"}
    rows = [
        {"measure": "mine", "part": str(n), **place, "ci_low": low, "ci_high": high} for n, (low, high) in enumerate(intervals)
    ]
    other = {**rows[0], "measure": "agreement", "ci_low": -9.0, "ci_high": -8.0}
    found = claim_table(pd.DataFrame([*rows, other]), {"mine": "routes", "agreement": "agreement"})
    assert found["claim"].tolist() == [claim]
    assert found.iloc[0][list(place)].to_dict() == place
    assert found["n_routes"].tolist() == [2]


def test_no_routes_make_no_claim():
    empty = pd.DataFrame(columns=CONTRAST_COLUMNS)
    assert list(claim_table(empty, {}).columns) == list(CLAIM_COLUMNS)
