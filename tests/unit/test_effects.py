import numpy as np
import pytest
from clxai.measures.effects import improvement, seed_means, standardised
from scipy import stats


@pytest.mark.parametrize(("n_seeds", "factor"), [(3, 0.5642), (5, 0.7979), (11, 0.9228), (21, 0.9619)])
def test_effect_is_corrected_by_hedges_factor(n_seeds, factor):
    """J(m) of Hedges [1981, table 1]: .5642 at 2, .7979 at 4, .9228 at 10, .9619 at 20 degrees of freedom."""
    values = np.random.default_rng(0).normal(0.3, 1.0, size=(n_seeds, 7, 2))
    means = values.mean(axis=1)
    np.testing.assert_allclose(standardised(values), factor * means.mean(0) / means.std(0, ddof=1), rtol=1e-4)


def test_corrected_effect_is_unbiased():
    values = np.random.default_rng(1).normal(1.0, 1.0, size=(5, 1, 20000))
    assert standardised(values).mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("values", [np.ones((2, 4, 1)), np.ones((1, 4, 1)), np.ones((5, 4, 1))])
def test_no_effect_size_below_three_seeds_or_without_spread(values):
    assert np.isnan(standardised(values)).all()


def test_improvement_is_the_statistic_of_mann_and_whitney_over_seeds():
    rng = np.random.default_rng(2)
    first, second = rng.normal(0.3, 1, size=(4, 6, 3)), rng.normal(size=(4, 6, 3))
    expected = [stats.mannwhitneyu(first[..., c].mean(1), second[..., c].mean(1)).statistic / 16 for c in range(3)]
    np.testing.assert_allclose(improvement(first, second), expected)
    np.testing.assert_allclose(improvement(second, first), 1 - np.array(expected))
    np.testing.assert_allclose(improvement(first, first), 0.5)


def test_images_undefined_in_one_model_are_left_out_of_both():
    first, second = np.array([[[1.0], [5.0]]]), np.array([[[2.0], [np.nan]]])
    assert improvement(first, second) == 0
    assert np.isnan(improvement(first, np.full_like(first, np.nan)))


def test_seed_means_leave_undefined_images_out():
    np.testing.assert_allclose(seed_means(np.array([[[1.0], [np.nan], [3.0]], [[np.nan]] * 3])), [[2.0], [np.nan]])
