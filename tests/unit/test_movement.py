"""How the embedding moves, on paths whose answer is known, and against SciPy and a regression written out."""

import numpy as np
import pytest
from clxai.measures.metrics.base import Curves
from clxai.measures.metrics.correlations import partial_correlation, rank_correlation
from clxai.measures.metrics.movement import drift_follows_loss, drift_monotonicity, largest_step
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)


class Path(Curves):
    """Curves of one embedding path, the same in both orders."""

    def __init__(self, path, log_odds=None, fraction=None):
        path = np.asarray(path, dtype=float)
        self.fraction = np.linspace(0, 1, len(path)) if fraction is None else np.asarray(fraction)
        self.quantities = {
            "drift_l2": np.linalg.norm(path - path[0], axis=1),
            "step_length": np.array([0.0, *np.linalg.norm(np.diff(path, axis=0), axis=1)]),
            "log_odds": None if log_odds is None else np.asarray(log_odds, dtype=float),
        }

    def __call__(self, quantity, order="morf"):
        return self.quantities[quantity]


@quick
@given(seeds, st.integers(3, 12))
def test_rank_correlation_is_spearmans(seed, n_steps):
    curves = np.random.default_rng(seed).integers(5, size=(2, 3, n_steps)).astype(float)
    for place in np.ndindex(2, 3):
        if np.ptp(curves[place]):
            expected = stats.spearmanr(np.arange(n_steps), curves[place]).statistic
            assert rank_correlation(curves)[place] == pytest.approx(expected, abs=1e-12)


@quick
@given(seeds, st.integers(4, 12))
def test_partial_correlation_is_that_of_the_residuals(seed, n_steps):
    """Least squares by NumPy, correlation by SciPy; neither scale nor trend of the curves matters."""
    rng = np.random.default_rng(seed)
    one, other, place = rng.normal(size=(2, n_steps)), rng.normal(size=(2, n_steps)), np.sort(rng.random(n_steps))
    found = partial_correlation(one, other, place)
    for row in range(2):
        left = [curve - np.polyval(np.polyfit(place, curve, 1), place) for curve in (one[row], other[row])]
        assert found[row] == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-9)
    np.testing.assert_allclose(partial_correlation(3 * one + 7 * place, other - 2 * place, place), found, atol=1e-9)


def test_path_straight_away_is_monotone_with_equal_steps():
    path = Path(np.linspace(0, 1, 9)[:, None] * [3.0, 4.0])
    assert drift_monotonicity(path) == pytest.approx(1)
    assert largest_step(path) == pytest.approx(1 / 8)


@pytest.mark.parametrize(
    ("path", "monotone", "largest"), [([[0], [4], [3], [2], [1]], 0.0, 4 / 7), ([[0], [0], [5], [5], [5]], 0.86602540, 1.0)]
)
def test_paths_that_jump(path, monotone, largest):
    """Out at once and back: ranks 0, 4, 3, 2, 1 have no correlation with the step. A jump with rests has tied ranks."""
    assert drift_monotonicity(Path(path)) == pytest.approx(monotone, abs=1e-6)
    assert largest_step(Path(path)) == pytest.approx(largest)


def test_drift_follows_the_loss_or_runs_against_it():
    """A drift of f^2 and losses of f^2, -f^2 and of an odd function about the middle, which has nothing in common with it."""
    fraction = np.linspace(0, 1, 21)
    path, odd = (fraction**2)[:, None], (fraction - 0.5) ** 3
    assert drift_follows_loss(Path(path, -3 * fraction**2 + fraction)) == pytest.approx(1)
    assert drift_follows_loss(Path(path, fraction**2)) == pytest.approx(-1)
    assert drift_follows_loss(Path(path, odd)) == pytest.approx(0, abs=1e-9)


def test_what_has_no_length_or_no_bend_is_undefined():
    still = Path(np.zeros((5, 2)), [5, 4, 2, 1, 1])
    for metric in (drift_monotonicity, largest_step, drift_follows_loss):
        assert np.isnan(metric(still))
    straight = np.array([0.0, 0.1, 0.4, 0.55, 1.0])
    assert np.isnan(drift_follows_loss(Path(straight[:, None] * [0.3, 0.7], [5, 4, 2, 1, 1], straight)))
    assert np.isnan(drift_follows_loss(Path([[0], [1], [4], [2], [3]], 7.3 - 2.7 * straight, straight)))
