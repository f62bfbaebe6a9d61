import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.names import FILLS
from clxai.units.base import (
    BLUR_SIGMA_SHARE,
    check_unit,
    fill_images,
    gaussian_blur,
    rank_units,
    removal_counts,
    removal_masks,
    tie_fraction,
    unit_scores,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage, stats

quick = settings(max_examples=40, deadline=None)
whole_scores = arrays.arrays(np.float64, (3, 16), elements=st.integers(-3, 3).map(float))
any_scores = arrays.arrays(np.float32, (2, 9), elements=st.floats(width=32))
MEAN = torch.tensor([0.2, 0.5, 0.7]).view(-1, 1, 1)


def ranks(scores, seed=0, first=0):
    scores = torch.as_tensor(scores)
    return rank_units(scores, torch.arange(first, first + len(scores)), seed)


@quick
@given(any_scores, st.integers(0, 100))
def test_rank_is_a_permutation_whatever_the_scores(scores, seed):
    rank, _ = ranks(scores, seed)
    assert (rank.sort(dim=1).values == torch.arange(9)).all()


@quick
@given(whole_scores, st.integers(0, 100))
def test_higher_scores_come_first(scores, seed):
    rank, degenerate = ranks(scores, seed)
    for values, places, is_random in zip(scores, rank.numpy(), degenerate.tolist(), strict=True):
        falling = values[np.argsort(places)]
        assert is_random or (np.diff(falling) <= 0).all()


@quick
@given(whole_scores, st.integers(0, 100))
def test_monotone_transform_keeps_the_order(scores, seed):
    for transformed in (2 * scores + 5, np.exp(scores), scores**3):
        assert torch.equal(ranks(transformed, seed)[0], ranks(scores, seed)[0])


@quick
@given(any_scores, st.integers(0, 100))
def test_degenerate_means_constant_or_not_finite(scores, seed):
    _, degenerate = ranks(scores, seed)
    expected = [not np.isfinite(row).all() or row.max() == row.min() for row in scores]
    assert degenerate.tolist() == expected


@pytest.mark.parametrize("value", [0.0, 3.5, np.nan, np.inf, -np.inf])
def test_degenerate_map_gets_the_seeded_random_order(value):
    scores = np.arange(40.0).reshape(2, 20)
    scores[1] = value
    rank, degenerate = ranks(scores, seed=4)
    assert degenerate.tolist() == [False, True]
    assert torch.equal(rank[1], ranks(np.zeros((2, 20)), seed=4)[0][1])
    assert not torch.equal(rank[1], ranks(np.zeros((2, 20)), seed=5)[0][1])


def test_one_nan_makes_the_whole_map_random_and_not_only_its_unit():
    scores = np.arange(20.0)[None]
    scores[0, 7] = np.nan
    assert torch.equal(ranks(scores)[0], ranks(np.zeros((1, 20)))[0])


def test_ties_are_broken_by_key_and_not_by_position():
    scores = np.tile([[1.0, 0.0]], 8)
    first = [int(ranks(scores, seed)[0][0].argmin()) for seed in range(800)]
    assert set(first) == set(range(0, 16, 2))
    assert stats.chisquare(np.bincount(first, minlength=16)[::2]).pvalue > 1e-3


def test_tie_break_differs_between_images_and_not_between_batches():
    scores = np.zeros((6, 30))
    together = ranks(scores)[0]
    assert len({tuple(row.tolist()) for row in together}) == 6
    assert torch.equal(ranks(scores[:2], first=4)[0], together[4:])


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 3, 4], 0.0), ([1, 1, 3, 4], 0.5), ([7, 7, 7, 7], 1.0), ([2, 1, 2, 1], 1.0), ([0, 5, 0, 0], 0.75)],
)
def test_tie_fraction_is_the_share_of_values_that_occur_twice_or_more(values, expected):
    assert tie_fraction(torch.tensor([values], dtype=torch.float64)).tolist() == [expected]


@quick
@given(whole_scores)
def test_tie_fraction_equals_a_count(scores):
    expected = [np.mean([(row == value).sum() > 1 for value in row]) for row in scores]
    np.testing.assert_allclose(tie_fraction(torch.from_numpy(scores)), expected)


@quick
@given(st.integers(1, 300), st.data())
def test_removal_counts_rise_from_none_to_all(n_units, data):
    n_steps = data.draw(st.integers(1, n_units))
    counts = removal_counts(n_units, n_steps)
    assert len(counts) == n_steps + 1
    assert (counts[0], counts[-1]) == (0, n_units)
    assert (counts.diff() > 0).all()
    assert (counts.double() - torch.arange(n_steps + 1) * n_units / n_steps).abs().max() <= 0.5


@pytest.mark.parametrize("n_steps", [0, 17])
def test_more_steps_than_units_are_refused(n_steps):
    with pytest.raises(ClxaiError, match=rf"flipping\.steps must be in 1\.\.16.*Got {n_steps}"):
        removal_counts(16, n_steps)


@quick
@given(whole_scores, st.integers(1, 16))
def test_masks_remove_exactly_the_counted_units_the_highest_first(scores, n_steps):
    rank, counts = ranks(scores)[0], removal_counts(16, n_steps)
    masks = removal_masks(rank.repeat_interleave(n_steps + 1, 0), counts.repeat(3), 3).unflatten(0, (3, n_steps + 1))
    assert masks.shape == (3, n_steps + 1, 12, 12)
    for image in range(3):
        for step, count in enumerate(counts.tolist()):
            units = masks[image, step].numpy().reshape(4, 3, 4, 3)
            assert (units == units[:, :1, :, :1]).all()
            gone = np.flatnonzero(units[:, 0, :, 0].ravel())
            assert sorted(rank[image, gone].tolist()) == list(range(count))


@quick
@given(whole_scores, st.integers(0, 16))
def test_morf_and_lerf_masks_are_complements(scores, count):
    morf = ranks(scores)[0]
    lerf = 15 - morf
    removed = removal_masks(morf, torch.tensor([count] * len(morf)), 2)
    kept = ~removal_masks(lerf, torch.tensor([16 - count] * len(lerf)), 2)
    assert torch.equal(removed, kept)


def test_unit_scores_are_means_of_squares_in_row_order():
    attribution = torch.arange(16.0).reshape(1, 4, 4)
    assert unit_scores(attribution, 2).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert unit_scores(attribution.expand(3, 2, 4, 4), 1).shape == (3, 2, 16)


@pytest.mark.parametrize("unit_px", [0, 5, 12, 24])
def test_unit_that_does_not_tile_the_image_is_refused_with_the_allowed_ones(unit_px):
    with pytest.raises(ClxaiError, match=rf"unit_px must tile the image size 12 px: one of \[1, 2, 3, 4, 6\]\. Got {unit_px}"):
        check_unit(12, unit_px)


@pytest.mark.parametrize("unit_px", [1, 2, 3, 4, 6])
def test_units_that_tile_are_accepted(unit_px):
    check_unit(12, unit_px)


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FILLS)
def test_fill_stays_in_pixel_range(images, name):
    filled = fill_images(name, images, MEAN, torch.arange(5), 0)
    assert filled.shape == images.shape
    assert float(filled.min()) >= 0
    assert float(filled.max()) <= 1 + 1e-6


@pytest.mark.parametrize("name", FILLS)
def test_fill_of_an_image_is_independent_of_its_batch(images, name):
    together = fill_images(name, images, MEAN, torch.arange(10, 15), 3)
    chosen = torch.tensor([4, 1])
    torch.testing.assert_close(fill_images(name, images[chosen], MEAN, 10 + chosen, 3), together[chosen], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FILLS)
def test_only_noise_depends_on_the_seed_and_on_the_index(images, name):
    first = fill_images(name, images, MEAN, torch.arange(5), 0)
    other_seed = fill_images(name, images, MEAN, torch.arange(5), 1)
    other_index = fill_images(name, images, MEAN, torch.arange(5, 10), 0)
    assert torch.equal(first, other_seed) == torch.equal(first, other_index) == (name != "noise")


def test_mean_fill_is_the_colour_of_the_training_set(images):
    filled = fill_images("mean", images, MEAN, torch.arange(5), 0)
    assert torch.equal(filled.amin(dim=(0, 2, 3)), MEAN.flatten())
    assert torch.equal(filled.amax(dim=(0, 2, 3)), MEAN.flatten())


def test_zero_fill_is_black(images):
    assert fill_images("zero", images, MEAN, torch.arange(5), 0).count_nonzero() == 0


def test_noise_fill_is_uniform_and_independent_between_channels(images):
    filled = fill_images("noise", images, MEAN, torch.arange(5), 0).double()
    assert stats.kstest(filled.flatten().numpy(), "uniform").pvalue > 1e-3
    correlation = np.corrcoef(filled.transpose(0, 1).reshape(3, -1).numpy())
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 5 / np.sqrt(5 * 256)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.4])
def test_blur_equals_scipy(images, sigma):
    blurred = gaussian_blur(images.double(), sigma)
    radius = int(np.ceil(3 * sigma))
    for image, found in zip(images.double().numpy(), blurred.numpy(), strict=True):
        expected = [ndimage.gaussian_filter(channel, sigma, mode="mirror", truncate=radius / sigma) for channel in image]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_blur_fill_uses_a_fixed_share_of_the_size(images):
    sigma = BLUR_SIGMA_SHARE * 16
    truncate = np.ceil(3 * sigma) / sigma
    found = fill_images("blur", images, MEAN, torch.arange(5), 0)[2, 1].numpy()
    expected = ndimage.gaussian_filter(images[2, 1].double().numpy(), sigma, mode="mirror", truncate=truncate)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_blur_wider_than_the_image_is_cut_at_its_size():
    small = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    expected = ndimage.gaussian_filter(small[0, 0].numpy(), 5.0, mode="mirror", truncate=3 / 5.0)
    np.testing.assert_allclose(gaussian_blur(small, 5.0)[0, 0], expected, atol=1e-12)


def test_unknown_fill_is_answered_with_the_nearest(images):
    with pytest.raises(ClxaiError, match=r"unknown fill 'blurr'\. Did you mean 'blur'\? Known: blur, mean, noise, zero"):
        fill_images("blurr", images, MEAN, torch.arange(5), 0)
