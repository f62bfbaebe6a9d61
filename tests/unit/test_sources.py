"""The digits, and what all data sources share: sizes and grey levels."""

import re

import numpy as np
import pytest
from clxai.data.sources.base import SOURCES, Source, resize, to_uint8
from clxai.errors import ClxaiError


def test_digits_are_the_1797_of_scikit_learn_on_the_full_grey_scale(entry):
    from sklearn.datasets import load_digits

    source, bunch = SOURCES["digits"].definition(entry("digits")), load_digits()
    assert len(source.labels) == 1797
    np.testing.assert_array_equal(source.labels, bunch.target)
    np.testing.assert_allclose(source.image(5, None)[0] / 255, bunch.images[5] / 16, atol=0.5 / 255)
    assert source.image(5, (24, 24)).shape == (1, 24, 24)


@pytest.mark.parametrize("size", [20, [16, 24]])
def test_digits_refuse_a_size_that_splits_pixels(entry, size):
    with pytest.raises(ClxaiError, match=rf"size must be a multiple of 8, the side of a digit\. Got {re.escape(str(size))}"):
        SOURCES["digits"].definition(entry("digits", size=size))


def test_resize_by_a_whole_factor_repeats_pixels():
    pixels = np.arange(4, dtype=np.uint8).reshape(2, 2)
    assert resize(pixels, (4, 4)).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (20, 20), (17, 16, 3), (9, 31, 1)])
@pytest.mark.parametrize("asked", [(16, 16), (16, 24), (31, 9)])
def test_resize_gives_the_asked_height_and_width(shape, asked):
    pixels = np.full(shape, 77, dtype=np.uint8)
    resized = resize(pixels, asked)
    assert resized.shape[:2] == asked
    assert (resized == 77).all()


def test_resize_of_an_oblong_keeps_its_centre():
    pixels = np.zeros((10, 30), dtype=np.uint8)
    pixels[:, 10:20] = 255
    assert (resize(pixels, (10, 10)) == 255).all()


def test_resize_of_a_square_to_an_oblong_keeps_proportions_and_centre():
    """A 30 x 30 image with a white band in its middle third becomes 10 x 30: the band alone."""
    pixels = np.zeros((30, 30), dtype=np.uint8)
    pixels[10:20] = 255
    assert (resize(pixels, (10, 30)) == 255).all()


def test_resize_of_an_oblong_by_a_whole_factor_repeats_pixels():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (resize(pixels, (4, 6)) == pixels.repeat(2, 0).repeat(2, 1)).all()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_image_refuses_other_than_two_or_three_axes(shape):
    source = Source(np.zeros(1, np.int64), np.zeros(1, np.int64), ("a", "b"), lambda index: np.zeros(shape, np.uint8))
    with pytest.raises(ClxaiError, match=r"image 0: expected \[y, x\] or \[y, x, channel\], found shape \(" + str(shape[0])):
        source.image(0, None)


def test_to_uint8_maps_the_unit_interval_to_all_grey_levels():
    assert to_uint8(np.array([0.0, 1 / 255, 0.5, 1.0]), "x").tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ([0.5, np.nan, np.inf], "x: 2 pixels are not finite"),
        ([0.5, 1.5], r"x: float pixels must lie in \[0, 1\]. Found \[0.5, 1.5\]"),
        ([-0.25, 1.0], r"x: float pixels must lie in \[0, 1\]. Found \[-0.25, 1\]"),
        ([3, 4], r"x: pixels must be uint8, or float in \[0, 1\]. Found int64"),
    ],
)
def test_to_uint8_refuses(pixels, message):
    with pytest.raises(ClxaiError, match=message):
        to_uint8(np.array(pixels), "x")
