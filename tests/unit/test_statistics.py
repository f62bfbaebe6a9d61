import numpy as np
import pandas as pd
import pytest
from clxai.measures.statistics import (
    bootstrap_interval,
    bootstrap_weights,
    holm,
    seed_deviation,
    two_way,
    weighted_means,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

quick = settings(max_examples=25, deadline=None)

# Standard deviations of seed, image and residual of srg_matched, from images.csv of two runs of the default study.
COMPONENTS = {
    "integrated gradients": (0.083, 0.154, 0.138),
    "lrp": (0.111, 0.056, 0.187),
    "supcon - ce": (0.139, 0.106, 0.257),
    "integrated gradients, other run": (0.035, 0.089, 0.110),
    "median of all, other run": (0.034, 0.051, 0.186),
}


def crossed(components, n_seeds, n_images, n_columns, rng, mean=0.3):
    """Normal data of the two-way model [seed, image, column]."""
    seed, image, rest = components
    effects = seed * rng.normal(size=(n_seeds, 1, n_columns)) + image * rng.normal(size=(1, n_images, n_columns))
    return mean + effects + rest * rng.normal(size=(n_seeds, n_images, n_columns))


@pytest.mark.parametrize("components", COMPONENTS.values(), ids=COMPONENTS)
@pytest.mark.parametrize(("n_seeds", "n_images"), [(3, 30), (5, 30), (10, 30), (3, 300), (5, 300)])
def test_intervals_cover_at_the_nominal_rate(components, n_seeds, n_images):
    """The nominal 95 % cover the true mean in 93 to 97 % of simulated studies."""
    rng, n_columns, covered = np.random.default_rng(n_seeds), 5000, []
    for _ in range(5):
        low, high = two_way(crossed(components, n_seeds, n_images, n_columns // 5, rng)).interval()
        covered.append((low <= 0.3) & (high >= 0.3))
    assert 0.93 <= np.mean(covered) <= 0.97


def analysed(values):
    """The two-way analysis of one table [seed, image]."""
    return two_way(np.asarray(values, dtype=float)[..., None])


def anova(values):
    """Mean squares of seed, image and residual by statsmodels' linear model."""
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    seeds, images = np.indices(values.shape)
    frame = pd.DataFrame({"y": values.ravel(), "seed": seeds.ravel(), "image": images.ravel()}).dropna()
    table = anova_lm(ols("y ~ C(seed) + C(image)", frame).fit(), typ=2)
    return (table["sum_sq"] / table["df"]).to_numpy(), table["df"].to_numpy()


def test_components_and_interval_are_those_of_the_analysis_of_variance():
    values = crossed((0.3, 0.4, 0.2), 4, 12, 1, np.random.default_rng(0))[..., 0]
    found, ((seed, image, rest), dfs) = analysed(values), anova(values)
    variance = (seed + image - rest) / 48
    df = (seed + image - rest) ** 2 / np.sum(np.array([seed, image, rest]) ** 2 / dfs)
    df = min(df, 3) if seed > image else df
    expected = [values.mean(), np.sqrt(variance), df, (seed - rest) / 12, (image - rest) / 4, rest]
    np.testing.assert_allclose(
        [found.mean[0], found.error[0], found.df[0], found.seed[0], found.image[0], found.residual[0]], expected
    )
    reach = stats.t(df).ppf(0.975) * np.sqrt(variance)
    np.testing.assert_allclose(np.ravel(found.interval()), [values.mean() - reach, values.mean() + reach])
    t = values.mean() / np.sqrt(variance)
    np.testing.assert_allclose(found.p_value(), 2 * stats.t(df).sf(abs(t)))


def test_components_are_those_of_a_published_two_way_example():
    """Four judges, six targets [Shrout, Fleiss 1979]: mean squares 32.49, 11.24, 1.02; ICC(2,1) .29, ICC(3,1) .71."""
    judges = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float).T
    found = analysed(judges)
    judge, target, rest = found.seed[0], found.image[0], found.residual[0]
    np.testing.assert_allclose([6 * judge + rest, 4 * target + rest, rest], [32.49, 11.24, 1.02], atol=0.005)
    assert target / (target + judge + rest) == pytest.approx(0.29, abs=0.005)
    assert target / (target + rest) == pytest.approx(0.71, abs=0.005)


def test_components_and_error_are_those_of_a_mixed_model():
    """Restricted maximum likelihood of crossed effects: the analysis of variance where nothing is missing or negative."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    values = crossed((0.3, 0.4, 0.2), 5, 12, 1, np.random.default_rng(3))[..., 0]
    seeds, images = np.indices(values.shape)
    frame = pd.DataFrame({"y": values.ravel(), "seed": seeds.ravel(), "image": images.ravel(), "all": 0})
    crossed_effects = {"seed": "0 + C(seed)", "image": "0 + C(image)"}
    fit = MixedLM.from_formula("y ~ 1", frame, groups="all", re_formula="0", vc_formula=crossed_effects).fit(reml=True)
    found, parts = analysed(values), dict(zip(fit.model.exog_vc.names, fit.vcomp, strict=True))
    np.testing.assert_allclose(
        [found.seed[0], found.image[0], found.residual[0]], [*map(parts.get, ("seed", "image")), fit.scale], rtol=1e-3
    )
    np.testing.assert_allclose(found.error, fit.bse_fe.to_numpy(), rtol=1e-3)


def test_undefined_values_cost_degrees_of_freedom_of_the_residual():
    """Filling by the additive model leaves the residual mean square of the unbalanced analysis of variance."""
    values = crossed((0.3, 0.4, 0.2), 4, 12, 1, np.random.default_rng(1))[..., 0]
    values[0, 3] = values[2, 3] = values[1, 7] = np.nan
    found = analysed(values)
    (_, _, rest), dfs = anova(values)
    assert dfs[2] == 33 - 3
    np.testing.assert_allclose(found.residual[0], rest)
    assert found.mean[0] == pytest.approx(np.nanmean(values))


@pytest.mark.parametrize("axis", [0, 1])
def test_seed_or_image_without_any_value_is_as_if_it_were_not_there(axis):
    values = crossed((0.3, 0.4, 0.2), 4, 12, 1, np.random.default_rng(2))[..., 0]
    short = np.delete(values, 2, axis=axis)
    gone = np.insert(short, 2, np.nan, axis=axis)
    one, other = analysed(short), analysed(gone)
    for name in vars(one):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), err_msg=name)


def test_negative_variances_are_taken_for_zero_and_the_interval_is_not_narrower():
    values = np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.5, 0.5]])
    found = analysed(values)
    assert found.seed[0] == found.image[0] == 0
    assert found.error[0] == pytest.approx(np.sqrt(found.residual[0] / 12))


def test_one_seed_gives_the_plain_t_interval_over_images():
    values = np.random.default_rng(3).gamma(2.0, size=40)
    found = analysed(values[None])
    plain = stats.ttest_1samp(values, 0).confidence_interval()
    np.testing.assert_allclose(np.ravel(found.interval()), [plain.low, plain.high])
    assert np.isnan([found.seed[0], found.residual[0]]).all()
    assert found.image[0] == pytest.approx(values.var(ddof=1))


@pytest.mark.parametrize("values", [[[1.0], [2.0]], [[1.0, np.nan], [2.0, np.nan]], np.full((3, 4), np.nan)])
def test_no_interval_without_two_images(values):
    low, high = analysed(values).interval()
    assert np.isnan([low[0], high[0]]).all()


def test_columns_do_not_touch_each_other():
    values = crossed((0.3, 0.4, 0.2), 3, 7, 4, np.random.default_rng(4))
    values[1, 2, 0], values[..., 2] = np.nan, np.nan
    together = two_way(values)
    for column in range(4):
        alone = two_way(values[..., [column]])
        for name in vars(alone):
            np.testing.assert_allclose(getattr(together, name)[column], getattr(alone, name)[0], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize(("value", "p_value", "p_equivalence"), [(0.0, 1.0, 0.0), (0.04, 0.0, 0.0), (0.3, 0.0, 1.0)])
def test_values_without_spread_are_certain(value, p_value, p_equivalence):
    found = analysed(np.full((3, 4), value))
    assert (found.p_value()[0], found.p_equivalence(0.05)[0]) == (p_value, p_equivalence)
    np.testing.assert_allclose(np.ravel(found.interval()), value)


@pytest.mark.parametrize("mean", [0.0, 0.03, -0.03, 0.2])
def test_equivalence_of_one_seed_is_the_paired_tost(mean):
    from statsmodels.stats.weightstats import ttost_paired

    rng = np.random.default_rng(5)
    one, other = rng.normal(size=25), None
    other = one - mean - 0.1 * rng.normal(size=25)
    expected, _, _ = ttost_paired(one, other, -0.05, 0.05)
    np.testing.assert_allclose(analysed((one - other)[None]).p_equivalence(0.05), expected)


@pytest.mark.parametrize("better", [1, -1])
@pytest.mark.parametrize("mean", [0.0, 0.03, -0.03, 0.2])
def test_non_inferiority_of_one_seed_is_the_one_sided_t_test(mean, better):
    from statsmodels.stats.weightstats import DescrStatsW

    values = mean + 0.1 * np.random.default_rng(5).normal(size=25)
    _, expected, _ = DescrStatsW(better * values).ttest_mean(-0.05, alternative="larger")
    np.testing.assert_allclose(analysed(values[None]).p_noninferior(0.05, better), expected)


def test_equivalence_is_non_inferiority_both_ways():
    found = two_way(crossed((0.02, 0.03, 0.1), 4, 30, 200, np.random.default_rng(6), mean=0.02))
    both = np.maximum(found.p_noninferior(0.05), found.p_noninferior(0.05, better=-1))
    np.testing.assert_allclose(found.p_equivalence(0.05), both)


@pytest.mark.parametrize("components", COMPONENTS.values(), ids=COMPONENTS)
def test_non_inferiority_and_equivalence_are_claimed_at_the_margin_as_rarely_as_they_should(components):
    """Of models that differ by the margin at most 6 % of studies of 3 seeds and 30 images claim either at 5 %."""
    found = two_way(crossed(components, 3, 30, 4000, np.random.default_rng(7), mean=-0.05))
    assert np.mean(found.p_noninferior(0.05) < 0.05) <= 0.06
    assert np.mean(found.p_equivalence(0.05) < 0.05) <= 0.06


def test_equivalence_agrees_with_the_90_percent_interval():
    found = two_way(crossed((0.02, 0.03, 0.1), 4, 30, 500, np.random.default_rng(6), mean=0.02))
    low, high = found.interval(0.9)
    np.testing.assert_array_equal(found.p_equivalence(0.05) < 0.05, (low > -0.05) & (high < 0.05))


@quick
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000))
def test_each_draw_weighs_as_many_images_as_there_are(n_seeds, n_images, seed):
    weights = bootstrap_weights(n_seeds, n_images, 20, np.random.default_rng(seed))
    assert weights.shape == (20, n_seeds, n_images)
    assert (weights.sum(axis=(1, 2)) == n_seeds * n_images).all()
    assert (weights >= 0).all()


def test_seeds_and_images_are_drawn_with_replacement():
    weights = bootstrap_weights(4, 3, 4000, np.random.default_rng(0))
    for axis, n in ((2, 4), (1, 3)):
        drawn = weights.sum(axis=axis) / (12 / n)
        found = np.bincount(drawn.astype(int).ravel(), minlength=n + 1) / drawn.size
        np.testing.assert_allclose(found, stats.binom(n, 1 / n).pmf(np.arange(n + 1)), atol=0.02)


def test_all_seeds_of_a_draw_get_the_same_images():
    weights = bootstrap_weights(3, 5, 200, np.random.default_rng(0))
    product = weights.sum(axis=2)[:, :, None] * weights.sum(axis=1)[:, None, :] / 15
    np.testing.assert_allclose(weights, product)


def test_bootstrap_of_one_seed_is_the_plain_bootstrap_of_the_mean():
    values = np.random.default_rng(3).gamma(2.0, size=40)
    low, high = bootstrap_interval(values[None, :, None], bootstrap_weights(1, 40, 20000, np.random.default_rng(0)))
    plain = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1))
    tolerance = 0.03 * values.std() / np.sqrt(40) * 4
    np.testing.assert_allclose([low[0], high[0]], plain.confidence_interval, atol=tolerance)


def test_crossed_bootstrap_agrees_with_the_analysis_of_variance_for_many_seeds():
    values = crossed((0.1, 0.15, 0.2), 20, 40, 100, np.random.default_rng(0))
    low, high = bootstrap_interval(values, bootstrap_weights(20, 40, 600, np.random.default_rng(1)))
    exact = two_way(values).interval()
    assert np.median((high - low) / (exact[1] - exact[0])) == pytest.approx(1, abs=0.1)


def test_interval_of_a_constant_is_that_constant():
    low, high = bootstrap_interval(np.full((3, 4, 1), 2.5), bootstrap_weights(3, 4, 50, np.random.default_rng(0)))
    assert (low[0], high[0]) == (2.5, 2.5)


def test_weighted_means_leave_undefined_values_out_of_both_sums():
    values = np.array([[[1.0], [np.nan]], [[4.0], [7.0]]])
    weights = np.array([[[1, 1], [1, 1]], [[2, 2], [0, 0]], [[0, 3], [0, 1]], [[0, 4], [0, 0]]], dtype=float)
    found = weighted_means(values, weights)[:, 0]
    np.testing.assert_allclose(found, [4.0, 1.0, 7.0, np.nan])


def test_column_without_a_defined_value_has_no_interval_and_leaves_the_others_alone():
    weights = bootstrap_weights(2, 5, 200, np.random.default_rng(0))
    values = np.random.default_rng(1).normal(size=(2, 5, 2))
    alone = bootstrap_interval(values[..., 1:], weights)
    values[..., 0] = np.nan
    low, high = bootstrap_interval(values, weights)
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


@pytest.mark.parametrize("undefined", [[], [0], [2, 5], [0, 1, 2, 3, 4, 5]])
def test_holm_is_that_of_statsmodels_and_leaves_undefined_ones_out(undefined):
    from statsmodels.stats.multitest import multipletests

    p_values = np.array([0.01, 0.9, 0.004, 0.03, 0.03, 0.2])
    p_values[undefined] = np.nan
    known = np.isfinite(p_values)
    expected = p_values.copy()
    if known.any():
        expected[known] = multipletests(p_values[known], method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected)


def test_holm_of_no_test_is_empty():
    assert holm(np.array([])).shape == (0,)


# Sizes of groups such as speakers, and standard deviations of seed, group, seed x group, image and residual.
SPEAKERS = {
    "six of five images": (np.full(6, 5), (0.08, 0.10, 0.05, 0.10, 0.14)),
    "ten of uneven size": (np.array([2, 3, 4, 5, 6, 2, 3, 4, 5, 6]), (0.03, 0.15, 0.00, 0.05, 0.18)),
    "eight that do not differ": (np.full(8, 4), (0.08, 0.0, 0.0, 0.15, 0.14)),
    "twenty, one seed matters": (np.full(20, 3), (0.11, 0.06, 0.05, 0.06, 0.19)),
}


def grouped(case, n_seeds, n_columns, rng, mean=0.3):
    """Normal data of seeds x groups with images in groups [seed, image, column], and the number of each image's group."""
    sizes, (seed, group, both, image, rest) = case
    groups, normal = np.repeat(np.arange(len(sizes)), sizes), rng.normal
    outer = group * normal(size=(1, len(sizes), n_columns)) + both * normal(size=(n_seeds, len(sizes), n_columns))
    inner = image * normal(size=(1, len(groups), n_columns)) + rest * normal(size=(n_seeds, len(groups), n_columns))
    return mean + seed * normal(size=(n_seeds, 1, n_columns)) + outer[:, groups] + inner, groups


@pytest.mark.parametrize("case", SPEAKERS.values(), ids=SPEAKERS)
@pytest.mark.parametrize("n_seeds", [1, 3, 5])
def test_intervals_over_groups_cover_at_the_nominal_rate(case, n_seeds):
    """The nominal 95 % cover the true mean in 93 to 97 % of simulated studies of new seeds, groups and images."""
    case = case if n_seeds > 1 else (case[0], (0.0, *case[1][1:]))  # one seed: the interval is about that training
    values, groups = grouped(case, n_seeds, 20000, np.random.default_rng(n_seeds))
    low, high = two_way(values, groups).interval()
    assert 0.93 <= np.mean((low <= 0.3) & (high >= 0.3)) <= 0.97


def test_intervals_that_overlook_groups_are_too_narrow():
    values, _ = grouped(SPEAKERS["ten of uneven size"], 3, 2000, np.random.default_rng(0))
    low, high = two_way(values).interval()
    assert np.mean((low <= 0.3) & (high >= 0.3)) < 0.85


@pytest.mark.parametrize("n_seeds", [1, 4])
def test_groups_of_one_size_are_analysed_by_their_means(n_seeds):
    values, groups = grouped(SPEAKERS["six of five images"], n_seeds, 3, np.random.default_rng(0))
    found, means = two_way(values, groups), two_way(values.reshape(n_seeds, 6, 5, 3).mean(2))
    for name in ("mean", "error", "df", "seed"):
        np.testing.assert_allclose(getattr(found, name), getattr(means, name), err_msg=name)
    assert (found.n_images == 30).all()
    assert (found.n_groups == 6).all()


def test_variance_of_groups_is_that_of_the_nested_analysis_of_variance():
    """Balanced one-way random effects within one seed: (MS_between - MS_within) / m and MS_within, by scipy and numpy."""
    values, groups = grouped(SPEAKERS["six of five images"], 1, 1, np.random.default_rng(1))
    by_group = values[0, :, 0].reshape(6, 5)
    within = by_group.var(axis=1, ddof=1).mean()
    between = stats.f_oneway(*by_group).statistic * within
    found = two_way(values, groups)
    np.testing.assert_allclose([found.group[0], found.image[0]], [(between - within) / 5, within])


def test_groups_of_single_images_are_no_groups():
    values = crossed((0.3, 0.4, 0.2), 4, 12, 2, np.random.default_rng(2))
    found, plain = two_way(values, np.arange(12)), two_way(values)
    for name in ("mean", "error", "df", "seed"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), err_msg=name)
    np.testing.assert_allclose(found.group, plain.image)
    assert np.isnan(found.image).all()


def test_undefined_values_of_a_group_are_left_out_and_a_group_without_any_is_as_if_it_were_not_there():
    values, groups = grouped(SPEAKERS["six of five images"], 3, 1, np.random.default_rng(3))
    gone = values.copy()
    gone[:, groups == 2] = np.nan
    found, without = two_way(gone, groups), two_way(values[:, groups != 2], groups[groups != 2])
    for name in vars(found):
        np.testing.assert_allclose(getattr(found, name), getattr(without, name), err_msg=name)
    values[1, 7] = np.nan
    low, high = two_way(values, groups).interval()
    assert low[0] < np.nanmean(values) < high[0]


def test_one_group_says_nothing_of_groups():
    low, high = two_way(crossed((0.3, 0.4, 0.2), 4, 12, 1, np.random.default_rng(4)), np.zeros(12, int)).interval()
    assert np.isnan([low[0], high[0]]).all()


def test_groups_are_drawn_with_all_their_images():
    groups = np.array([0, 0, 1, 1, 1, 2])
    weights = bootstrap_weights(2, 6, 50, np.random.default_rng(0), groups)
    np.testing.assert_array_equal(weights[..., 0], weights[..., 1])
    np.testing.assert_array_equal(weights[..., 2], weights[..., 4])
    assert (weights[..., [0, 2, 5]].sum((1, 2)) == 2 * 3).all()
