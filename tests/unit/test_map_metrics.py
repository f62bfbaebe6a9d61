"""Metrics of maps: closed forms, what is undefined, and the definitions of Quantus 0.6.0 written out here.

Quantus itself is not installed. Its sparseness adds 1e-7 to every value, so that equality is up to 1e-5.
"""

import numpy as np
import pytest
import xarray
from clxai.errors import ClxaiError
from clxai.measures.metrics.base import measure, reading
from clxai.measures.metrics.maps import maps_of
from clxai.measures.metrics.masks import Masks
from clxai.planning.outputs import metrics_of
from project import filled_config
from scipy.stats import entropy

NAMES = reading("maps")
PIXELS = np.arange(24).reshape(4, 6)  # every pixel a unit
FRAMES = np.tile(np.arange(6), (4, 1))
BANDS = FRAMES.T[:4, :4]


def measured(pixels, images=None, unit=PIXELS):
    """All metrics of maps [image, y, x] of one head, arrays [image] by name."""
    pixels = np.asarray(pixels, dtype=float)
    images = np.zeros(pixels.shape) if images is None else np.asarray(images, dtype=float)
    axes = {"explained_by": ["a"], "scored_by": ["a"], "fill": ["zero"], "image": np.arange(len(pixels))}
    places = ("y", "x") if unit.ndim == 2 else ("image", "y", "x")
    curves = xarray.Dataset(
        {"unit": (places, unit)}, coords={**axes, "fraction": ("step", [0.0, 1.0])}, attrs={"centroid_spread": 1.0}
    )
    coords = {"head": ["a"], "image": axes["image"]}
    maps = xarray.Dataset({"attribution": (("head", "image", "y", "x"), pixels[None])}, coords=coords)
    found = measure(curves, NAMES, maps=maps_of(curves, maps, images))
    return {name: found[name].values[0, 0, 0] for name in NAMES}


def test_map_on_k_of_n_units_has_the_gini_index_and_entropy_of_these():
    for k in (1, 5, 24):
        found = measured(-3.0 * (np.arange(24).reshape(1, 4, 6) < k))
        assert found["sparseness"] == pytest.approx(1 - k / 24)
        assert found["complexity"] == pytest.approx(np.log(k))


def test_sparseness_and_complexity_do_not_depend_on_the_scale_of_a_map_however_small():
    values = np.random.default_rng(0).normal(size=(1, 4, 6))
    for name in ("sparseness", "complexity"):
        assert measured(1e-9 * values)[name] == pytest.approx(measured(values)[name], rel=1e-12)


def test_sparseness_and_complexity_are_those_of_quantus():
    """Sparseness: Gini index of abs(a) / max + 1e-7. Complexity: scipy's entropy of abs(a) / sum. Units are single pixels."""
    values = np.random.default_rng(1).normal(size=(3, 4, 6))
    found = measured(values)
    for image, own in enumerate(np.abs(values).reshape(3, -1)):
        ascending, n = np.sort(own / np.abs(values).max() + 1e-7), own.size
        gini = (2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * ascending.sum())
        assert found["sparseness"][image] == pytest.approx(gini, abs=1e-5)
        assert found["complexity"][image] == pytest.approx(entropy(own / own.sum()), rel=1e-12)


def test_quantus_shrinks_the_sparseness_of_small_maps_and_this_one_does_not():
    """The map of one image a million times smaller than that of another: the 1e-7 counts as much as its values."""
    values = np.random.default_rng(2).uniform(size=24)
    small = np.sort(values * 1e-6 + 1e-7)  # as Quantus has it where the largest value of the batch is 1
    shrunk = (2 * np.arange(1, 25) - 25) @ small / (24 * small.sum())
    true = measured(values.reshape(1, 4, 6) * 1e-6)["sparseness"][0]
    assert true == pytest.approx(measured(values.reshape(1, 4, 6))["sparseness"][0])
    assert shrunk < 0.95 * true


def test_faithfulness_correlation_is_that_of_quantus_for_sets_of_one_size():
    """Pearson over runs of (sum of a over S, f(x) - f(x with S black)): 200 sets of 7 of 24 entries, a network with products."""
    rng = np.random.default_rng(3)
    x, weight, attribution = rng.uniform(size=24), rng.normal(size=24), rng.normal(size=24)

    def network(inputs):
        return inputs @ weight + (inputs[..., :12] * inputs[..., 12:]).sum(-1)

    gone = rng.random((200, 24)).argsort(axis=1) < 7
    told, lost = gone @ attribution, network(x) - network(np.where(gone, 0.0, x))
    masks = Masks(told[None, None], lost[None, None, None], gone.sum(1)[None], np.array([24]), np.full(200, "bernoulli"))
    axes = {"explained_by": ["a"], "scored_by": ["a"], "fill": ["zero"], "image": [0]}
    curves = xarray.Dataset(coords={**axes, "fraction": ("step", [0.0, 1.0])}, attrs={"centroid_spread": 1.0})
    found = measure(curves, ["faithfulness_correlation"], masks)["faithfulness_correlation"].item()
    assert found == pytest.approx(np.corrcoef(told, lost)[0, 1], abs=1e-12)


def test_image_itself_lies_where_the_image_is_active():
    """Half of it is 0.8, above the level; the rest is black."""
    image = np.where(np.arange(6) < 3, 0.8, 0.0) * np.ones((1, 4, 1))
    for pixels, expected in ((image, 1.0), (0.8 - image, 0.0), (np.ones((1, 4, 6)), 0.5)):
        found = measured(pixels, image)
        assert found["active_share"] == 0.5
        for name in ("active_mass", "active_rank", "active_peak"):
            assert found[name] == pytest.approx(expected), name


def test_active_is_what_is_more_than_30_of_80_decibels_above_black():
    decibels = np.linspace(-80, 0, 24).reshape(1, 4, 6)
    assert measured(np.ones((1, 4, 6)), (decibels + 80) / 80)["active_share"] == pytest.approx((decibels > -50).mean())


def test_random_maps_lie_in_the_active_region_by_chance():
    rng = np.random.default_rng(4)
    images = np.tile(np.where(np.arange(24) < 8, 1.0, 0.0).reshape(1, 4, 6), (500, 1, 1))
    found = measured(rng.uniform(size=(500, 4, 6)), images)
    for name in ("active_mass", "active_rank", "active_peak"):
        assert found[name].mean() == pytest.approx(1 / 3, abs=3 * found[name].std() / np.sqrt(500)), name


@pytest.mark.parametrize(
    ("profile", "expected"),
    [([0, 1, 0, 1, 0, 1], -1.0), ([1, 1, 1, 2, 2, 2], 0.6), ([3, 3, 3, 3, 3, 3], np.nan)],
    ids=["alternating", "one step", "constant"],
)
def test_coherence_along_time_has_its_closed_form(profile, expected):
    """Of five borders of frames: all differ, or one of them does, which leaves (4 - 1) / 5 whatever the two values are."""
    found = measured(np.tile(profile, (1, 4, 1)), unit=FRAMES)
    assert found["coherence_x"][0] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found["coherence_y"][0])  # frames have no border along frequency


def test_coherence_stands_beside_that_of_the_image_itself():
    profile = np.random.default_rng(5).uniform(size=(1, 4, 6))
    same, reverse = (measured(sign * 3 * profile, profile, FRAMES) for sign in (1, -1))
    for found in (same, reverse):
        assert found["coherence_x_excess"] == pytest.approx(0, abs=1e-12)
    smooth = measured(np.cumsum(np.ones((1, 4, 6)), axis=2), np.tile([0, 1, 0, 1, 0, 1], (1, 4, 1)), FRAMES)
    assert smooth["coherence_x_excess"] == pytest.approx(smooth["coherence_x"] + 1)


def test_numbers_of_an_image_depend_on_its_own_units_alone():
    """Label maps of each image's own, with different numbers of units."""
    rng = np.random.default_rng(6)
    unit, pixels, images = np.stack([PIXELS, FRAMES, PIXELS // 2]), rng.normal(size=(3, 4, 6)), rng.random((3, 4, 6))
    whole = measured(pixels, images, unit)
    for number in range(3):
        alone = measured(pixels[[number]], images[[number]], unit[number])
        for name in NAMES:
            assert whole[name][number] == pytest.approx(alone[name][0], rel=1e-12, nan_ok=True), (name, number)


def test_maps_that_are_zero_or_not_finite_are_undefined_and_leave_the_others_alone():
    pixels = np.random.default_rng(7).uniform(size=(4, 4, 6))
    pixels[1], pixels[2, 0, 0], pixels[3, 1, 1] = 0, np.nan, np.inf
    found = measured(pixels, np.tile(np.linspace(0, 1, 24).reshape(1, 4, 6), (4, 1, 1)))
    for name in set(NAMES) - {"active_share", "active_rank", "active_peak"}:
        assert np.isfinite(found[name]).tolist() == [True, False, False, False], name
    for name in ("active_rank", "active_peak"):  # a constant map has an order, that of chance
        assert np.isfinite(found[name]).tolist() == [True, True, False, False], name


def test_image_without_an_active_pixel_has_no_active_region_to_lie_in():
    found = measured(np.ones((1, 4, 6)), np.full((1, 4, 6), 0.2))
    assert found["active_share"] == 0
    assert all(np.isnan(found[name][0]) for name in ("active_mass", "active_rank", "active_peak"))


def test_maps_of_other_images_are_refused():
    curves = xarray.Dataset({"unit": (("y", "x"), PIXELS)}, coords={"explained_by": ["a"], "image": [3, 4]})
    maps = xarray.Dataset(
        {"attribution": (("head", "image", "y", "x"), np.ones((1, 2, 4, 6)))}, coords={"head": ["a"], "image": [4, 3]}
    )
    with pytest.raises(ClxaiError, match="the maps are of other images than the curves"):
        maps_of(curves, maps, np.ones((2, 4, 6)))


def test_metric_of_maps_cannot_be_without_them():
    curves = xarray.Dataset(
        coords={"explained_by": ["a"], "scored_by": ["a"], "fill": ["zero"], "image": [0], "fraction": ("step", [0.0, 1.0])},
        attrs={"centroid_spread": 1.0},
    )
    with pytest.raises(ClxaiError, match=r"metric 'sparseness' reads maps and images\. Got none"):
        measure(curves, ["sparseness"])


def test_study_measures_maps_by_default_since_that_costs_no_forward_pass():
    assert set(NAMES) < set(metrics_of(filled_config()))
