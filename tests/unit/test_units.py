from dataclasses import replace

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.registry import Entry, declared, fill_keywords
from clxai.units.base import UNITS, Cut, count_of, cut_images
from clxai.units.removal import rank_units, removal_counts, removed_fraction, tie_fraction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage, stats
from torch.nn import functional

quick = settings(max_examples=40, deadline=None)
whole_scores = arrays.arrays(np.float64, (3, 16), elements=st.integers(-3, 3).map(float))
any_scores = arrays.arrays(np.float32, (2, 9), elements=st.floats(width=32))


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
    (counts,) = removal_counts(torch.tensor([n_units]), n_steps)
    assert len(counts) == n_steps + 1
    assert (counts[0], counts[-1]) == (0, n_units)
    assert (counts.diff() > 0).all()
    assert (counts.double() - torch.arange(n_steps + 1) * n_units / n_steps).abs().max() <= 0.5


@pytest.mark.parametrize("n_steps", [0, 17])
def test_more_steps_than_units_are_refused(n_steps):
    with pytest.raises(ClxaiError, match=rf"flipping\.steps must be in 1\.\.16, .*units\.few.*Got {n_steps}"):
        removal_counts(torch.tensor([30, 16]), n_steps, "units.few")


def test_too_few_superpixels_name_the_option_that_asks_for_them():
    with pytest.raises(ClxaiError, match=r"Got 17: lower flipping\.steps, or raise units\.few\.n_segments,"):
        removal_counts(torch.tensor([30, 16]), 17, "units.few", count_of("superpixels"))
    assert count_of("grid") is None


def test_fraction_is_that_of_the_units_where_all_images_have_as_many_and_else_that_of_the_steps():
    assert removed_fraction(removal_counts(torch.tensor([5, 5]), 3)).tolist() == [0, 2 / 5, 3 / 5, 1]
    assert removed_fraction(removal_counts(torch.tensor([5, 7]), 4)).tolist() == [0, 0.25, 0.5, 0.75, 1]


def images_of(n_images=3, channels=3, height=16, width=16):
    """Smooth random images, as photographs are."""
    coarse = torch.rand(n_images, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(coarse, size=(height, width), mode="bilinear")


def cut_by(kind, images, **options):
    return cut_images(kind, options, images)


SETTINGS = {
    "grid": {"height": 4, "width": 8},
    "bands": {"height": 4},
    "frames": {"width": 4},
    "superpixels": {"n_segments": 12},
}


def test_every_kind_of_units_is_tested_here():
    assert SETTINGS.keys() == declared("units").keys()


@pytest.fixture(params=SETTINGS)
def cut(request):
    return cut_by(request.param, images_of(height=16, width=24), **SETTINGS[request.param])


def test_every_unit_of_an_image_has_pixels_and_every_pixel_a_unit(cut):
    for labels, n_units in zip(cut.labels, cut.n_units.tolist(), strict=True):
        assert labels.shape == (16, 24)
        assert labels.unique().tolist() == list(range(n_units))


@pytest.mark.parametrize(
    ("kind", "unit_of"),
    [
        ("grid", lambda y, x: 3 * (y // 4) + x // 8),
        ("bands", lambda y, x: y // 4),
        ("frames", lambda y, x: x // 4),
    ],
)
def test_tilings_are_numbered_in_row_order(kind, unit_of):
    (labels,) = cut_by(kind, images_of(height=16, width=24), **SETTINGS[kind]).labels.tolist()
    assert labels == [[unit_of(y, x) for x in range(24)] for y in range(16)]


@pytest.mark.parametrize("channels", [1, 3])
def test_superpixels_are_connected_and_depend_on_the_image_alone(channels):
    images = images_of(4, channels)
    together = cut_by("superpixels", images, n_segments=10)
    assert len(set(together.n_units.tolist())) > 1
    for number, (labels, n_units) in enumerate(zip(together.labels, together.n_units.tolist(), strict=True)):
        assert [ndimage.label(labels.numpy() == unit)[1] for unit in range(n_units)] == [1] * n_units
        alone = cut_by("superpixels", images[number : number + 1], n_segments=10)
        assert torch.equal(alone.labels[0], labels)


def slow_mask(labels, rank, count):
    return np.isin(labels.numpy(), [unit for unit in range(len(rank)) if rank[unit] < count])


def test_masks_remove_exactly_the_units_of_the_lowest_ranks(cut):
    image = torch.tensor([2, 0, 2, 1])
    rank = torch.rand(4, cut.most, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    count = torch.tensor([0, 3, 2, cut.most])
    for number, mask in enumerate(cut.masks(rank, count, image)):
        own = cut.labels[image[number] if len(cut.labels) > 1 else 0]
        np.testing.assert_array_equal(mask, slow_mask(own, rank[number].tolist(), int(count[number])))


def test_scores_are_the_means_of_the_pixels_of_each_unit(cut):
    attribution = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(1))
    labels = cut.labels.expand(3, -1, -1)
    found = cut.scores(attribution)
    for image in range(3):
        n_units = int(cut.units_of(torch.tensor([image])))
        expected = [attribution[image][labels[image] == unit].mean() for unit in range(n_units)]
        np.testing.assert_allclose(found[image, :n_units], expected, rtol=1e-6)
        assert found[image, n_units:].isnan().all()


def test_quick_ways_of_tilings_agree_with_label_maps_at_large():
    images = images_of(height=16, width=24)
    quick_cut = cut_by("grid", images, height=4, width=3)
    slow_cuts = [replace(quick_cut, block=None), Cut(quick_cut.labels.expand(3, -1, -1), quick_cut.n_units.expand(3), None)]
    assert quick_cut.block == (4, 3)
    rank, image = torch.rand(3, 32).argsort(dim=1), torch.arange(3)
    for other in slow_cuts:
        for count in (torch.tensor([0, 7, 32]), torch.tensor([31, 1, 12])):
            assert torch.equal(quick_cut.masks(rank, count, image), other.masks(rank, count, image))
        torch.testing.assert_close(other.scores(images[:, 0]), quick_cut.scores(images[:, 0]))


@quick
@given(whole_scores, st.integers(0, 16))
def test_morf_and_lerf_masks_are_complements(scores, count):
    cut, image = cut_by("grid", images_of(height=8, width=8), height=2, width=2), torch.arange(3)
    morf = ranks(scores)[0]
    removed = cut.masks(morf, torch.tensor([count] * 3), image)
    kept = ~cut.masks(15 - morf, torch.tensor([16 - count] * 3), image)
    assert torch.equal(removed, kept)


@quick
@given(arrays.arrays(np.float32, (2, 9), elements=st.floats(width=32)), st.integers(0, 50), st.integers(2, 9))
def test_images_with_fewer_units_are_ranked_as_if_alone(scores, seed, n_units):
    """The places of absent units come last and change nothing, not even how ties are broken."""
    padded = torch.from_numpy(scores)
    padded[1, n_units:] = torch.nan
    counts, index = torch.tensor([9, n_units]), torch.tensor([3, 8])
    rank, degenerate = rank_units(padded, index, seed, counts)
    assert rank[1, n_units:].sort().values.tolist() == list(range(n_units, 9))
    assert rank[1, :n_units].sort().values.tolist() == list(range(n_units))
    own = padded[1:, :n_units]
    assert degenerate[1] == rank_units(own, index[1:], seed)[1]
    order = own[0][rank[1, :n_units].argsort()]
    assert degenerate[1] or (order.diff() <= 0).all()
    ties = tie_fraction(padded, counts)
    torch.testing.assert_close(ties[1:], tie_fraction(own), equal_nan=True)


@pytest.mark.parametrize("px", [0, 5, 12, 24])
def test_unit_that_does_not_tile_the_image_is_refused_with_the_allowed_ones(px):
    for option in ("height", "width"):
        sides = {"height": 3, "width": 3, option: px}
        with pytest.raises(ClxaiError, match=rf"units\.grid\.{option} must tile 12 px: one of \[1, 2, 3, 4, 6\]\. Got {px}"):
            cut_by("grid", images_of(height=12, width=12), **sides)


@pytest.mark.parametrize("px", [1, 2, 3, 4, 6])
def test_units_that_tile_are_accepted(px):
    cut = cut_by("grid", images_of(height=12, width=24), height=px, width=12)
    assert int(cut.n_units) == 2 * 12 // px


def test_label_maps_with_a_gap_are_refused(monkeypatch):
    entry = Entry("holes", lambda images: torch.full(images.shape[-2:], 3), fill_keywords({}, UNITS.keywords, "here"))
    monkeypatch.setitem(UNITS._entries, "holes", entry)
    with pytest.raises(ClxaiError, match="units 'holes': map 0 does not number its units from 0 to 3 without a gap"):
        cut_by("holes", images_of())


def test_more_units_than_fit_into_two_bytes_keep_their_numbers():
    labels = cut_by("grid", torch.zeros(1, 1, 200, 200), height=1, width=1).labels
    assert int(labels.max()) == 39_999
