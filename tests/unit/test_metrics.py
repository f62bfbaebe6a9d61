import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray
from clxai.attribution.explaining import explain
from clxai.errors import ClxaiError
from clxai.flipping.curves import flip_curves
from clxai.measures.metrics.areas import aopc, auc_deletion, auc_insertion, srg
from clxai.measures.metrics.base import METRICS, Curves, area, insertion_curve, measure, reading
from clxai.measures.metrics.caps import capped
from clxai.measures.metrics.monotonicity import monotonicity
from clxai.measures.metrics.path import roughness, straightness
from hypothesis import given, settings
from hypothesis import strategies as st
from project import grid
from scipy import stats

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)


def random_fraction(rng, n_steps):
    inner = np.sort(rng.choice(np.arange(1, 1000), n_steps - 1, replace=False)) / 1000
    return np.concatenate([[0.0], inner, [1.0]])


def weights_removed(weights, fraction):
    """Evidence left of a linear score when the first units in this order are gone, at each fraction."""
    counts = np.round(fraction * len(weights)).astype(int)
    return np.array([weights[count:].sum() for count in counts])


def test_area_of_a_linear_model_with_equal_units_is_one_half():
    fraction = np.linspace(0, 1, 9)
    assert area(weights_removed(np.full(8, 1 / 8), fraction), fraction) == pytest.approx(0.5)


@quick
@given(seeds, st.integers(2, 40))
def test_areas_of_a_linear_model_have_a_closed_form(seed, n_units):
    """Unit u of rank r contributes w_u until it is gone: trapezoids give w_u (r + 1/2) / n to deletion, the rest to LeRF."""
    weights = -np.sort(-np.random.default_rng(seed).random(n_units))
    fraction, rank = np.linspace(0, 1, n_units + 1), np.arange(n_units)
    deletion = area(weights_removed(weights, fraction), fraction)
    lerf = weights_removed(weights[::-1], fraction)
    insertion = area(*insertion_curve(lerf, fraction))
    np.testing.assert_allclose(deletion, (weights * (rank + 0.5)).sum() / n_units)
    np.testing.assert_allclose(insertion, (weights * (n_units - rank - 0.5)).sum() / n_units)
    np.testing.assert_allclose(insertion - deletion, (weights * (n_units - 2 * rank - 1)).sum() / n_units, atol=1e-12)


@quick
@given(seeds, st.integers(2, 40), st.floats(0.01, 1))
def test_capped_mean_of_a_straight_line_is_its_middle_and_that_of_all_is_the_area(seed, n_steps, beta):
    rng = np.random.default_rng(seed)
    fraction, curve = random_fraction(rng, n_steps), rng.random(n_steps + 1)
    assert capped(3 - 2 * fraction, fraction, beta) == pytest.approx(3 - beta)
    assert capped(curve, fraction, 1.0) == pytest.approx(area(curve, fraction))
    fine = np.union1d(np.linspace(0, beta, 4001), fraction[fraction < beta])
    expected = np.trapezoid(np.interp(fine, fraction, curve), fine) / beta
    assert capped(curve, fraction, beta) == pytest.approx(expected)


@quick
@given(seeds, st.integers(2, 12))
def test_uneven_fractions_are_integrated_exactly_for_a_straight_line(seed, n_steps):
    fraction = random_fraction(np.random.default_rng(seed), n_steps)
    assert area(3 - 2 * fraction, fraction) == pytest.approx(2.0)


@pytest.mark.parametrize("fraction", [[0.0, 0.5], [0.1, 1.0], [0.0, 0.6, 0.6, 1.0], [0.0, 0.7, 0.3, 1.0]])
def test_fraction_that_does_not_rise_from_0_to_1_is_refused(fraction):
    with pytest.raises(ClxaiError, match=r"fraction must rise strictly from 0 to 1\. Got \["):
        area(np.ones(len(fraction)), np.array(fraction))


def test_insertion_curve_is_lerf_seen_from_the_other_end():
    curve, inserted = insertion_curve(np.array([[1.0, 0.7, 0.0]]), np.array([0.0, 0.25, 1.0]))
    assert curve.tolist() == [[0.0, 0.7, 1.0]]
    assert inserted.tolist() == [0.0, 0.75, 1.0]


class Given(Curves):
    """Quantities that are given as they are, the same for both orders."""

    def __init__(self, **quantities):
        self.quantities, self.spread = quantities, 1.0

    def __call__(self, quantity, order="morf"):
        return self.quantities[quantity]


def path_quantities(path, fraction):
    """Step lengths, drifts and second divided differences of an embedding path, written out."""
    steps = np.diff(path, axis=0)
    slope = steps / np.diff(fraction)[:, None]
    bend = [2 * np.linalg.norm(slope[j + 1] - slope[j]) / (fraction[j + 2] - fraction[j]) for j in range(len(path) - 2)]
    return {
        "step_length": np.array([0.0, *np.linalg.norm(steps, axis=1)]),
        "drift_l2": np.linalg.norm(path - path[0], axis=1),
        "acceleration": np.array([np.nan, *bend, np.nan]),
    }


def made_up_curves(seed, n_images=4, n_steps=6):
    """A curves file of two heads and two fills with random but consistent quantities and uneven fractions."""
    rng = np.random.default_rng(seed)
    fraction, heads, fills, orders = random_fraction(rng, n_steps), ["a", "b"], ["mean", "zero"], ["morf", "lerf"]
    scored = (2, 2, 2, 2, n_images, n_steps + 1)
    odds = rng.normal(size=scored)
    values = {
        "log_odds": odds,
        "probability": 1 / (1 + np.exp(-odds)),
        "probability_matched": 1 / (1 + np.exp(-odds / 2)),
        "probability_matched_low": 1 / (1 + np.exp(-odds / 1.5)),
        "probability_matched_high": 1 / (1 + np.exp(-odds / 3)),
        "prediction": rng.integers(3, size=scored).astype(np.int16),
    }
    path = np.cumsum(rng.normal(size=(2, 2, 2, n_images, n_steps + 1, 5)), axis=4)
    for name in ("step_length", "drift_l2", "acceleration"):
        values[name] = np.zeros(path.shape[:-1])
        for place in np.ndindex(path.shape[:4]):
            values[name][place] = path_quantities(path[place], fraction)[name]
    for name in ("drift_cosine", "bank_distance", "centroid_distance", "other_distance", "mean_distance", "drift_projection"):
        values[name] = 2 * rng.random(path.shape[:-1])
    long, short = (
        ("explained_by", "scored_by", "fill", "order", "image", "step"),
        ("explained_by", "fill", "order", "image", "step"),
    )
    variables = {name: (long if value.ndim == 6 else short, value) for name, value in values.items()}
    variables["target"] = (("scored_by", "image"), rng.integers(3, size=(2, n_images)).astype(np.int16))
    coords = {"explained_by": heads, "scored_by": heads, "fill": fills, "order": orders, "image": np.arange(n_images) * 3}
    return xarray.Dataset(variables, coords={**coords, "fraction": ("step", fraction)}, attrs={"centroid_spread": 2.5})


@quick
@given(seeds, st.integers(2, 9), st.sampled_from(["probability", "probability_matched", "log_odds", "kept"]))
def test_srg_is_insertion_minus_deletion(seed, n_steps, quantity):
    curves = Curves(made_up_curves(seed, 2, n_steps))
    np.testing.assert_allclose(
        auc_insertion(curves, quantity) - auc_deletion(curves, quantity), srg(curves, quantity), atol=1e-12
    )


@quick
@given(seeds)
def test_srg_changes_sign_when_the_orders_are_swapped(seed):
    dataset = made_up_curves(seed)
    swapped = dataset.isel(order=[1, 0]).assign_coords(order=["morf", "lerf"])
    np.testing.assert_allclose(srg(Curves(swapped), "log_odds"), -srg(Curves(dataset), "log_odds"), atol=1e-12)


@quick
@given(seeds)
def test_temperature_changes_probabilities_but_not_kept_predictions(seed):
    dataset = made_up_curves(seed)
    colder = dataset.assign(probability=1 / (1 + np.exp(-5 * dataset["log_odds"])))
    assert np.abs(srg(Curves(colder), "probability") - srg(Curves(dataset), "probability")).max() > 0
    np.testing.assert_array_equal(srg(Curves(colder), "kept"), srg(Curves(dataset), "kept"))


def test_kept_compares_the_prediction_with_the_target_of_the_same_head_and_image():
    dataset = made_up_curves(1)
    kept = Curves(dataset)("kept", "lerf")
    prediction, target = dataset["prediction"].sel(order="lerf").values, dataset["target"].values
    for explained, scored, fill, image, step in np.ndindex(kept.shape):
        same = prediction[explained, scored, fill, image, step] == target[scored, image]
        assert kept[explained, scored, fill, image, step] == same


def test_aopc_is_the_mean_loss_over_all_points():
    assert aopc(Given(p=np.array([1.0, 0.5, 0.0])), "p") == pytest.approx(0.5)
    np.testing.assert_allclose(aopc(Given(p=np.array([[2.0, 2.0, 2.0], [0.0, 1.0, 2.0]])), "p"), [0.0, -1.0])


@quick
@given(st.lists(st.integers(-3, 3), min_size=3, max_size=12))
def test_monotonicity_is_minus_spearman_with_ties(values):
    curve = np.array(values, dtype=float)
    found = monotonicity(Given(p=curve), "p")
    if np.ptp(curve) == 0:
        assert np.isnan(found)
    else:
        np.testing.assert_allclose(found, -stats.spearmanr(np.arange(len(curve)), curve).statistic, atol=1e-12)


@pytest.mark.parametrize(("curve", "expected"), [([3, 2, 1, 0], 1.0), ([0, 1, 5, 9], -1.0), ([1, 0, 0, 1], 0.0)])
def test_monotonicity_of_simple_curves(curve, expected):
    assert monotonicity(Given(p=np.array(curve, dtype=float)), "p") == pytest.approx(expected)


def test_constant_curve_of_a_batch_is_undefined_alone():
    found = monotonicity(Given(p=np.array([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0]])), "p")
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1.0)


@quick
@given(seeds, st.integers(2, 9))
def test_straight_path_at_constant_speed_is_straight_and_smooth(seed, n_steps):
    rng = np.random.default_rng(seed)
    fraction = random_fraction(rng, n_steps)
    path = rng.normal(size=6) + fraction[:, None] * rng.normal(size=6)
    found = path_quantities(path, fraction)
    assert straightness(Given(**found)) == pytest.approx(1.0)
    assert roughness(Given(**found)) == pytest.approx(0.0, abs=1e-6)


def test_semicircle_has_straightness_two_over_pi_and_roughness_of_its_centripetal_acceleration():
    fraction = np.linspace(0, 1, 401)
    path = np.stack([np.cos(np.pi * fraction), np.sin(np.pi * fraction)], axis=1)
    found = path_quantities(path, fraction)
    assert straightness(Given(**found)) == pytest.approx(2 / np.pi, rel=1e-4)
    assert roughness(Given(**found)) == pytest.approx(np.pi**2, rel=1e-4)


def test_straight_path_with_a_change_of_speed_is_rough():
    fraction = np.array([0.0, 0.5, 1.0])
    found = path_quantities(np.array([[0.0], [1.0], [4.0]]), fraction)
    assert straightness(Given(**found)) == 1.0
    assert roughness(Given(**found)) == pytest.approx(2 * (6 - 2) / 1)


def test_path_that_returns_has_straightness_zero():
    found = path_quantities(np.array([[0.0], [1.0], [0.0]]), np.array([0.0, 0.5, 1.0]))
    assert straightness(Given(**found)) == 0.0


def test_path_without_length_has_no_straightness():
    assert np.isnan(straightness(Given(step_length=np.zeros(4), drift_l2=np.zeros(4))))


EXPECTED = {
    "auc_deletion": lambda d, f: np.trapezoid(d["probability"][:, :, :, 0], f),
    "auc_insertion_log_odds": lambda d, f: np.trapezoid(d["log_odds"][:, :, :, 1], f),
    "srg_matched": lambda d, f: np.trapezoid(d["probability_matched"][:, :, :, 1] - d["probability_matched"][:, :, :, 0], f),
    "drift_auc": lambda d, f: np.trapezoid(d["drift_l2"][:, None, :, 0], f) / 2.5,
    "drift_srg": lambda d, f: np.trapezoid(d["drift_l2"][:, None, :, 0] - d["drift_l2"][:, None, :, 1], f) / 2.5,
    "drift_cosine_auc": lambda d, f: np.trapezoid(d["drift_cosine"][:, None, :, 0], f),
    "off_manifold_auc": lambda d, f: np.trapezoid(d["bank_distance"][:, None, :, 0], f),
    "centroid_auc": lambda d, f: np.trapezoid(d["centroid_distance"][:, None, :, 0], f) / 2.5,
    "path_length": lambda d, f: d["step_length"][:, None, :, 0].sum(-1) / 2.5,
    "straightness": lambda d, f: d["drift_l2"][:, None, :, 0, :, -1] / d["step_length"][:, None, :, 0].sum(-1),
    "roughness": lambda d, f: np.nanmean(d["acceleration"][:, None, :, 0], axis=-1) / 2.5,
    "roughness_relative": lambda d, f: (
        np.nanmean(d["acceleration"][:, None, :, 0], axis=-1) / d["step_length"][:, None, :, 0].sum(-1)
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_metric_of_a_curves_file_is_its_formula(name):
    dataset = made_up_curves(7)
    arrays = {key: array.values for key, array in dataset.data_vars.items()}
    expected = EXPECTED[name](arrays, dataset["fraction"].values)
    found = measure(dataset, [name])[name].values
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-10)


@pytest.fixture(scope="module")
def real(tiny_run):
    """Curves of six images by two methods; the network has got a projection, of random weights."""
    encoder = copy.deepcopy(tiny_run.encoder)
    torch.manual_seed(0)
    encoder.projection = torch.nn.Linear(encoder.n_features, 8).requires_grad_(False)
    run = replace(tiny_run, encoder=encoder).at(tiny_run.index[:6].numpy())
    settings = {
        "fills": ["mean", "noise"],
        "steps": 8,
        "units": grid(4),
        "seed": 0,
        "batch_size": 128,
        "precision": "float32",
        "trajectories": 1,
        "bank_k": 5,
    }
    names = reading("curves")
    return [measure(flip_curves(run, explain(run, name, {}, 0), settings), names) for name in ("random", "saliency")]


MAY_BE_UNDEFINED = {"srg_inside"}  # of an image none of whose intervals lies inside
MAY_BE_THE_SAME = {"never_flipped"}  # here the filled image is of another class for all


@pytest.mark.parametrize("name", reading("curves"))
def test_metric_stays_in_its_declared_range_on_real_curves(real, name):
    low, high = (METRICS[name].semantics[end] for end in ("low", "high"))
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    assert low < high
    for table in real:
        values = table[name].values
        assert values.shape == (4, 4, 2, 6)
        known = np.isfinite(values)
        assert known.any() if name in MAY_BE_UNDEFINED else known.all()
        assert values[known].min() >= low - 1e-6
        assert values[known].max() <= high + 1e-6
        assert np.ptp(values[known]) > 0 or name in MAY_BE_THE_SAME


def test_srg_has_twice_the_range_of_its_areas():
    for suffix in ("", "_matched", "_kept"):
        gain, inserted, removed = (METRICS[f"{kind}{suffix}"].semantics for kind in ("srg", "auc_insertion", "auc_deletion"))
        assert (gain["low"], gain["high"]) == (-1, 1)
        assert gain["better"] == inserted["better"] == -removed["better"]


def test_path_metrics_are_the_same_for_every_scorer(real):
    for name in ("drift_auc", "straightness", "off_manifold_auc"):
        values = real[1][name].values
        np.testing.assert_array_equal(values, np.broadcast_to(values[:, :1], values.shape))
