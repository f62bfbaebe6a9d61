import numpy as np
import pytest
from clxai.statistics import bootstrap_weights, holm_zero_tests, interval, seed_deviation, weighted_means
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

quick = settings(max_examples=25, deadline=None)


@quick
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000))
def test_each_draw_weighs_as_many_images_as_there_are(n_seeds, n_images, seed):
    weights = bootstrap_weights(n_seeds, n_images, 20, np.random.default_rng(seed))
    assert weights.shape == (20, n_seeds, n_images)
    assert (weights.sum(axis=(1, 2)) == n_seeds * n_images).all()
    assert (weights >= 0).all()
    assert (weights.sum(axis=2) % n_images == 0).all()


def test_seeds_are_drawn_with_replacement():
    weights = bootstrap_weights(4, 3, 4000, np.random.default_rng(0))
    drawn = weights.sum(axis=2) / 3
    expected = stats.binom(4, 0.25).pmf(np.arange(5))
    found = np.bincount(drawn.astype(int).ravel(), minlength=5) / drawn.size
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_images_are_drawn_anew_for_every_drawn_seed():
    weights = bootstrap_weights(1, 5, 4000, np.random.default_rng(0))[:, 0]
    found = np.bincount(weights.astype(int).ravel(), minlength=6) / weights.size
    np.testing.assert_allclose(found, stats.binom(5, 0.2).pmf(np.arange(6)), atol=0.02)
    twice = bootstrap_weights(2, 5, 4000, np.random.default_rng(1))
    same_seed_twice = twice[(twice[:, 0].sum(axis=1) == 10)][:, 0]
    assert (same_seed_twice % 2 == 1).any()


def test_interval_of_one_seed_is_the_plain_bootstrap_of_the_mean():
    values = np.random.default_rng(3).gamma(2.0, size=40)
    low, high = interval(values[None, :, None], bootstrap_weights(1, 40, 20000, np.random.default_rng(0)))
    plain = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1))
    tolerance = 0.03 * values.std() / np.sqrt(40) * 4
    np.testing.assert_allclose([low[0], high[0]], plain.confidence_interval, atol=tolerance)


def test_interval_covers_the_mean_of_a_hierarchical_model_at_about_the_nominal_rate():
    rng, n_seeds, n_images, n_repeats = np.random.default_rng(0), 20, 10, 400
    values = 0.7 + rng.normal(size=(n_seeds, 1, n_repeats)) + 2 * rng.normal(size=(n_seeds, n_images, n_repeats))
    low, high = interval(values, bootstrap_weights(n_seeds, n_images, 600, rng))
    coverage = ((low <= 0.7) & (high >= 0.7)).mean()
    assert 0.90 <= coverage <= 0.98


def test_interval_that_ignored_the_seeds_would_be_too_narrow():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(10, 1, 200)) + 0.1 * rng.normal(size=(10, 50, 200))
    nested = interval(values, bootstrap_weights(10, 50, 400, rng))
    pooled = interval(values.reshape(1, 500, 200), bootstrap_weights(1, 500, 400, rng))
    assert np.median((nested[1] - nested[0]) / (pooled[1] - pooled[0])) > 3


def test_interval_of_a_constant_is_that_constant():
    low, high = interval(np.full((3, 4, 1), 2.5), bootstrap_weights(3, 4, 50, np.random.default_rng(0)))
    assert (low[0], high[0]) == (2.5, 2.5)


def test_weighted_means_leave_undefined_values_out_of_both_sums():
    values = np.array([[[1.0], [np.nan]], [[4.0], [7.0]]])
    weights = np.array([[[1, 1], [1, 1]], [[2, 2], [0, 0]], [[0, 3], [0, 1]], [[0, 4], [0, 0]]], dtype=float)
    found = weighted_means(values, weights)[:, 0]
    np.testing.assert_allclose(found, [4.0, 1.0, 7.0, np.nan])


def test_column_without_a_defined_value_has_no_interval_and_leaves_the_others_alone():
    weights = bootstrap_weights(2, 5, 200, np.random.default_rng(0))
    values = np.random.default_rng(1).normal(size=(2, 5, 2))
    alone = interval(values[..., 1:], weights)
    values[..., 0] = np.nan
    low, high = interval(values, weights)
    assert np.isnan([low[0], high[0]]).all()
    np.testing.assert_allclose([low[1], high[1]], [alone[0][0], alone[1][0]], rtol=1e-12)


def test_seed_deviation_is_the_deviation_of_the_means_per_seed():
    values = np.array([[1.0, 3.0], [4.0, 6.0], [2.0, 8.0]])[..., None]
    np.testing.assert_allclose(seed_deviation(values), [np.std([2.0, 5.0, 5.0], ddof=1)])


def test_seed_deviation_leaves_undefined_images_out():
    values = np.array([[1.0, np.nan], [4.0, 6.0]])[..., None]
    np.testing.assert_allclose(seed_deviation(values), [4 / np.sqrt(2)])


def test_seed_deviation_of_one_seed_is_undefined():
    assert np.isnan(seed_deviation(np.random.default_rng(0).normal(size=(1, 5, 3)))).all()


def test_holm_multiplies_the_falling_ranks_and_never_decreases():
    rng = np.random.default_rng(0)
    samples = {str(shift): rng.normal(size=30) + shift for shift in (0.0, 0.9, 0.35, 0.4)}
    raw = np.array([stats.ttest_1samp(sample, 0).pvalue for sample in samples.values()])
    corrected, running = np.empty(4), 0.0
    for place, number in enumerate(np.argsort(raw)):
        running = max(running, min(1.0, (4 - place) * raw[number]))
        corrected[number] = running
    found, rejected = holm_zero_tests(samples, 0.05)
    np.testing.assert_allclose(found, corrected)
    np.testing.assert_array_equal(rejected, corrected <= 0.05)
    assert rejected.any() and not rejected.all()


@pytest.mark.parametrize(("value", "p_value"), [(0.0, 1.0), (0.3, 0.0)])
def test_sample_without_spread_is_rejected_unless_it_is_zero(value, p_value):
    found, rejected = holm_zero_tests({"flat": np.full(10, value)}, 0.01)
    assert found[0] == p_value
    assert rejected[0] == (p_value == 0)
