import numpy as np
import pytest
from clxai.measures.levels import ALPHA
from clxai.measures.power import Plan, plan_of, seeds_needed
from clxai.measures.statistics import two_way
from scipy.optimize import brentq

# Standard deviations of seed, image and residual of differences between models, from a run of the default study and invented.
COMPONENTS = {"supcon - ce": (0.139, 0.106, 0.257), "seeds alone": (0.1, 0.0, 0.05), "images": (0.03, 0.15, 0.1)}
COMPONENTS |= {"integrated gradients": (0.035, 0.089, 0.110)}


def planned(components, n_seeds, n_images):
    """The plan of one column with these standard deviations."""
    seed, image, residual = (np.array([part**2]) for part in components)
    return Plan(seed, image, residual, n_seeds, n_images)


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 12])
@pytest.mark.parametrize("difference", [0.0, 0.02, 0.1, 0.2, 1e6])
def test_where_seeds_alone_vary_it_is_the_power_of_the_paired_t_test(n_seeds, difference):
    from statsmodels.stats.power import TTestPower

    found = planned((0.1, 0.0, 0.0), n_seeds, 40).power(difference)
    expected = 1.0 if difference > 1 else TTestPower().power(difference / 0.1, n_seeds, ALPHA)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.8])
@pytest.mark.parametrize("n_seeds", [3, 5, 12])
def test_where_seeds_alone_vary_the_detectable_difference_is_that_of_statsmodels(n_seeds, level):
    from statsmodels.stats.power import TTestPower

    expected = 0.1 * brentq(lambda size: TTestPower().power(size, n_seeds, ALPHA) - level, 1e-3, 4)
    np.testing.assert_allclose(planned((0.1, 0.0, 0.0), n_seeds, 40).detectable(level), expected, rtol=1e-3)


def test_one_seed_is_the_paired_t_test_over_images():
    from statsmodels.stats.power import TTestPower

    one = planned((np.nan, 0.2, np.nan), 1, 30)
    np.testing.assert_allclose(one.power(0.1), TTestPower().power(0.5, 30, ALPHA), rtol=1e-9)
    assert np.isnan(seeds_needed(one, 0.1, 0.8)).all()


@pytest.mark.parametrize("components", COMPONENTS.values(), ids=COMPONENTS)
@pytest.mark.parametrize(("n_seeds", "n_images"), [(3, 30), (5, 30), (10, 100)])
def test_as_many_simulated_studies_reject_as_planned(components, n_seeds, n_images):
    """Those that show the difference planned to be shown by 80 % are 75 to 88 %; of half of it no fewer than planned."""
    rng, n_columns = np.random.default_rng(n_seeds), 2000
    seed, image, rest = components
    plan = planned(components, n_seeds, n_images)
    noise = seed * rng.normal(size=(n_seeds, 1, n_columns)) + image * rng.normal(size=(1, n_images, n_columns))
    noise += rest * rng.normal(size=(n_seeds, n_images, n_columns))
    difference = plan.detectable(0.8)[0]
    shown, of_half = (np.mean(two_way(size + noise).p_value() < ALPHA) for size in (difference, difference / 2))
    assert 0.75 <= shown <= 0.88
    assert of_half >= plan.power(difference / 2)[0] - 0.05


@pytest.mark.parametrize("components", COMPONENTS.values(), ids=COMPONENTS)
def test_seeds_needed_are_the_fewest_that_reach_the_power(components):
    needed = seeds_needed(planned(components, 3, 100), 0.1, 0.8)[0]
    reached = [planned(components, n_seeds, 100).power(0.1)[0] >= 0.8 for n_seeds in range(2, 60)]
    assert needed == 2 + reached.index(True)


def test_no_number_of_seeds_makes_up_for_too_few_images():
    assert np.isnan(seeds_needed(planned((0.1, 0.3, 0.1), 5, 30), 0.05, 0.8)).all()
    assert np.isfinite(seeds_needed(planned((0.1, 0.3, 0.1), 5, 1000), 0.05, 0.8)).all()


def test_plan_of_an_analysis_has_its_error_and_degrees_of_freedom():
    rng = np.random.default_rng(0)
    values = 0.3 * rng.normal(size=(4, 1, 20)) + 0.3 * rng.normal(size=(1, 12, 20)) + 0.1 * rng.normal(size=(4, 12, 20))
    found = two_way(values)
    plan = plan_of(found)
    np.testing.assert_allclose(plan.error(), found.error)
    several = np.where(plan.n_images * plan.seed > plan.n_seeds * plan.image, np.minimum(plan.df(), 3), plan.df())
    np.testing.assert_allclose(several, found.df)


def test_undefined_and_constant_columns():
    values = np.full((3, 4, 2), 0.1)
    values[..., 0] = np.nan
    plan = plan_of(two_way(values))
    np.testing.assert_array_equal(plan.power(0.05), [np.nan, 1.0])
    np.testing.assert_array_equal(plan.detectable(0.8), [np.nan, 0.0])
    np.testing.assert_array_equal(seeds_needed(plan, 0.05, 0.8), [np.nan, 2])


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 6, 11, 21])
def test_power_rises_to_one_and_the_detectable_difference_is_where_it_is_reached(n_seeds):
    """Also where the noncentral t distribution is too small for its numbers."""
    plan = planned((0.035, 0.0, 0.108), n_seeds, 30)
    power = np.array([plan.power(difference)[0] for difference in np.linspace(0, 2, 400)])
    assert (np.diff(power) >= -1e-12).all()
    assert power[0] == pytest.approx(ALPHA)
    assert power[-1] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(plan.power(plan.detectable(0.8)), 0.8, rtol=1e-4)


def test_more_images_of_the_same_groups_are_no_more_groups():
    """Where speakers alone differ, it is the power of the t test over speakers, however many recordings there are."""
    from statsmodels.stats.power import TTestPower

    nothing = np.zeros(1)
    for n_images in (16, 160):
        plan = Plan(nothing, nothing, nothing, 3, n_images, group=np.array([0.04]), n_groups=8)
        np.testing.assert_allclose(plan.power(0.2), TTestPower().power(1.0, 8, ALPHA), rtol=1e-9)


def test_plan_of_an_analysis_with_groups_has_its_error():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 1, 20)) + np.repeat(rng.normal(size=(1, 6, 20)), 5, axis=1) + rng.normal(size=(4, 30, 20))
    found = two_way(values, np.repeat(np.arange(6), 5))
    told = (found.group > 0) & (found.seed > 0)
    np.testing.assert_allclose(plan_of(found).error()[told], found.error[told], rtol=0.1)
