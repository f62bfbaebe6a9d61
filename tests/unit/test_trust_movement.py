"""Trust measures of movement and of what lies inside: means over the methods that explain, against loops."""

import numpy as np
import pytest
from clxai.measures.trust.base import TRUST, Method, alone
from clxai.measures.trust.intervals import draws_of, measure, summarise
from clxai.measures.trust.manifold import inside, off_manifold, r_oms
from clxai.measures.trust.movement import follows_loss, movement, movement_excess, towards
from scipy.stats import spearmanr

METHODS = [Method("random", "random", ("control",)), *(Method(name, name, ("gradient",)) for name in ("ig", "lrp", "cam"))]


@pytest.fixture
def panel():
    """Two seeds, five images, every metric that these measures read as random numbers in [0, 1]."""
    rng = np.random.default_rng(0)
    measures = ("movement", "follows_loss", "towards", "off_manifold", "r_oms", "inside")
    names = {metric for measure in measures for metric in TRUST[measure].semantics["metrics"]}
    return alone({name: rng.random((2, 5, 4)) for name in sorted(names)}, METHODS)


def mean_of(panel, metric, methods=(1, 2, 3)):
    return np.array([[np.mean([image[method] for method in methods]) for image in seed] for seed in panel.scores[metric]])


def test_movement_is_the_mean_over_the_methods_that_explain(panel):
    found = movement(panel)
    np.testing.assert_allclose(found["monotone"], mean_of(panel, "drift_monotonicity"))
    np.testing.assert_allclose(found["continuous"], 1 - mean_of(panel, "largest_step"))
    np.testing.assert_allclose(found["straight"], mean_of(panel, "straightness"))


def test_excess_is_over_the_random_order_and_1_for_the_opposite_of_a_jump(panel):
    found = movement_excess(panel)
    np.testing.assert_allclose(
        found["monotone"], mean_of(panel, "drift_monotonicity") - mean_of(panel, "drift_monotonicity", [0])
    )
    np.testing.assert_allclose(found["continuous"], mean_of(panel, "largest_step", [0]) - mean_of(panel, "largest_step"))


def test_parts_that_are_nowhere_defined_are_left_out_and_others_ignore_what_is_not(panel):
    panel.scores["drift_projection_srg"][:] = np.nan
    panel.scores["drift_follows_loss"][1, 2, 3] = np.nan
    found = follows_loss(panel)
    assert list(found) == ["loss", "encoder"]
    assert found["loss"][1, 2] == pytest.approx(panel.scores["drift_follows_loss"][1, 2, 1:3].mean())


def test_places_and_shares(panel):
    assert list(towards(panel)) == ["class", "mean"]
    np.testing.assert_allclose(towards(panel)["mean"], mean_of(panel, "towards_mean"))
    found = off_manifold(panel)
    np.testing.assert_allclose(found["mahalanobis"], mean_of(panel, "off_manifold_share_mahalanobis"))
    np.testing.assert_allclose(found["bank_random"], panel.scores["off_manifold_share"][..., 0])


def test_random_occlusion_is_the_mean_of_both_orders_of_the_random_map(panel):
    expected = (panel.scores["auc_deletion_kept"][..., 0] + panel.scores["auc_insertion_kept"][..., 0]) / 2
    np.testing.assert_allclose(r_oms(panel)["kept"], expected)


def test_ranking_inside_is_spearmans_with_undefined_images_left_out(panel):
    panel.scores["srg_inside"][0, 1:4, 2] = np.nan
    found = inside(panel)
    for seed in range(2):
        order = np.nanmean(panel.scores["srg_inside"][seed], axis=0)[1:], panel.scores["srg_matched"][seed].mean(axis=0)[1:]
        assert found["ranking"][seed] == pytest.approx(spearmanr(*order).statistic)
    np.testing.assert_allclose(found["srg"], np.nanmean(panel.scores["srg_inside"][..., 1:], axis=-1))


def test_nothing_inside_is_undefined(panel):
    panel.scores["srg_inside"][:] = np.nan
    for values in inside(panel).values():
        assert np.isnan(values).all()


def test_every_measure_gets_an_interval(panel):
    """Of drawn images too, where some are undefined."""
    panel.scores["srg_inside"][:, :4] = np.nan
    for function in (movement, follows_loss, towards, off_manifold, r_oms, inside):
        for found in measure(function, panel, draws_of(5, 0)).values():
            value, low, high = summarise(found)
            assert np.isfinite(value)
            assert not low > value and not high < value
