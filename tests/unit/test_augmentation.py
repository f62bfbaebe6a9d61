"""Batched augmentation has the distributions and the arithmetic of torchvision's transforms."""

import copy
import math

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.training import augmentation
from clxai.training.augmentation import augment, colour_jitter, crop_boxes, resized_crop, shifted_crop, sounding
from project import changed, check, filled_config
from scipy.stats import chisquare, ks_2samp, kstest
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as reference

OFF = {
    "crop_padding": 0,
    "resized_crop": None,
    "flip": False,
    "jitter": {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "probability": 0.8},
    "grey": 0,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n_images=8, channels=3, size=12, seed=7):
    return torch.rand(n_images, channels, size, size, generator=seeded(seed))


def jitter(**strength):
    return {**OFF["jitter"], "probability": 1.0, **strength}


def recipe(**changes):
    return {**copy.deepcopy(OFF), **changes}


EVERYTHING = recipe(
    crop_padding=2,
    resized_crop=[0.3, 1.0],
    flip=True,
    jitter={"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "probability": 0.8},
    grey=0.2,
)


def test_augment_with_everything_off_changes_nothing():
    assert torch.equal(augment(images(), OFF, seeded()), images())


def test_augment_repeats_with_a_seed_and_differs_with_another():
    one, again, other = (augment(images(), EVERYTHING, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).all(dim=(1, 2, 3)).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_augment_keeps_shape_and_the_unit_interval(channels):
    batch = images(64, channels)
    changed = augment(batch, EVERYTHING, seeded())
    assert changed.shape == batch.shape
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6


def test_augment_leaves_its_input_alone():
    batch = images()
    augment(batch, EVERYTHING, seeded())
    assert torch.equal(batch, images())


def test_flip_mirrors_about_half_of_the_images_and_no_part_of_one():
    batch = images(1000, 1, 4)
    changed = augment(batch, recipe(flip=True), seeded())
    kept = (changed == batch).all(dim=(1, 2, 3))
    mirrored = (changed == batch.flip(-1)).all(dim=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert abs(mirrored.float().mean() - 0.5) < 4 * math.sqrt(0.25 / 1000)


def test_grey_is_torchvisions_luma_for_the_asked_share():
    batch = images(1000, 3, 2)
    changed = augment(batch, recipe(grey=0.2), seeded())
    grey = torch.isclose(changed, reference.rgb_to_grayscale(batch, 3), atol=1e-6).all(dim=(1, 2, 3))
    kept = (changed == batch).all(dim=(1, 2, 3))
    assert (grey ^ kept).all()
    assert abs(grey.float().mean() - 0.2) < 4 * math.sqrt(0.16 / 1000)


def test_shifted_crop_takes_every_window_of_the_padded_image_equally_often():
    """As RandomCrop: 5 x 5 places for a padding of 2."""
    image = images(1, 3, 6)[0]
    padded = torch.nn.functional.pad(image, [2] * 4)
    windows = torch.stack([padded[:, top : top + 6, left : left + 6] for top in range(5) for left in range(5)])
    cropped = shifted_crop(image.expand(3000, -1, -1, -1), 2, seeded())
    found = (cropped[:, None] == windows).all(dim=(2, 3, 4))
    assert (found.sum(dim=1) == 1).all()
    assert chisquare(found.sum(dim=0).numpy()).pvalue > 0.001


@pytest.mark.parametrize("area", [(0.08, 1.0), (0.5, 1.0), (0.3, 0.3)])
def test_crop_boxes_have_the_distribution_of_random_resized_crop(area):
    n_boxes, size = 2500, (32, 32)
    image = torch.zeros(1, *size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = np.array([RandomResizedCrop.get_params(image, list(area), [3 / 4, 4 / 3]) for _ in range(n_boxes)])
    found = crop_boxes(n_boxes, *area, size, seeded(1)).double().numpy().T
    for position, name in enumerate(("top", "left", "height", "width")):
        assert ks_2samp(found[:, position], expected[:, position]).pvalue > 0.001, name
    assert ks_2samp(found[:, 2] * found[:, 3], expected[:, 2] * expected[:, 3]).pvalue > 0.001
    assert ks_2samp(found[:, 2] / found[:, 3], expected[:, 2] / expected[:, 3]).pvalue > 0.001


@pytest.mark.parametrize("size", [(32, 32), (8, 24), (24, 8)])
def test_crop_boxes_lie_inside_the_image_on_whole_pixels(size):
    top, left, height, width = crop_boxes(500, 0.05, 1.0, size, seeded())
    for start, length, limit in ((top, height, size[0]), (left, width, size[1])):
        assert (start >= 0).all()
        assert (length >= 1).all()
        assert (start + length <= limit).all()
        assert torch.equal(start, start.round())


@pytest.mark.parametrize("size", [(32, 32), (8, 24), (24, 8)])
def test_crop_boxes_without_a_fit_are_the_central_one_of_torchvision(size):
    """The whole area of an oblong fits at no allowed aspect ratio."""
    found = crop_boxes(5, 1.0, 1.0, size, seeded(3))
    expected = RandomResizedCrop.get_params(torch.zeros(1, *size), [1.0, 1.0], [3 / 4, 4 / 3])
    assert found.T.tolist() == [[float(value) for value in expected]] * 5


def test_resized_crop_of_the_whole_image_changes_nothing():
    torch.testing.assert_close(resized_crop(images(), 1.0, 1.0, seeded()), images(), atol=1e-5, rtol=0)


def test_resized_crop_equals_torchvisions_of_the_same_boxes():
    batch = images(16, 3, 20)
    found = resized_crop(batch, 0.2, 0.9, seeded(5))
    boxes = crop_boxes(16, 0.2, 0.9, (20, 20), seeded(5)).T.int().tolist()
    expected = [
        reference.resized_crop(image, top, left, height, width, [20, 20], antialias=False)
        for image, (top, left, height, width) in zip(batch, boxes, strict=True)
    ]
    # Outside the box torchvision repeats its edge, the batched crop looks at the pixel beyond it: compare the interior.
    torch.testing.assert_close(found[..., 3:-3, 3:-3], torch.stack(expected)[..., 3:-3, 3:-3], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "factors"),
    [("brightness", (0.0, 0.6, 1.0, 1.7)), ("contrast", (0.0, 0.6, 1.4)), ("saturation", (0.0, 0.5, 1.8))],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_colour_operation_equals_torchvisions_for_a_fixed_factor(name, factors, channels):
    batch = images(6, channels)
    for factor in factors:
        found = getattr(augmentation, f"_{name}")(batch, torch.full((6, 1, 1, 1), factor))
        expected = torch.stack([getattr(reference, f"adjust_{name}")(image, factor) for image in batch])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.05, 0.5])
def test_hue_equals_torchvisions_for_a_fixed_shift(shift):
    batch = images(6)
    batch[0], batch[1] = 0.3, torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)  # grey, and a pure colour
    found = augmentation._hue(batch, torch.full((6, 1, 1, 1), shift))
    torch.testing.assert_close(found, reference.adjust_hue(batch, shift), atol=1e-4, rtol=0)


@pytest.mark.parametrize("strength", [0.4, 1.5])
def test_jitter_brightness_factor_is_uniform_around_one_and_never_negative(strength):
    dim = torch.full((2000, 1, 1, 1), 0.1)
    factors = colour_jitter(dim, jitter(brightness=strength), seeded())[:, 0, 0, 0] / 0.1
    least = max(0.0, 1 - strength)
    assert kstest(factors.numpy(), "uniform", (least, 1 + strength - least)).pvalue > 0.001


def test_jitter_hue_shift_is_uniform_around_zero():
    """A pure red turns by at most 0.1 of the circle, where one other channel grows by 6 times the shift."""
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(2000, 3, 1, 1)
    changed = colour_jitter(red, jitter(hue=0.1), seeded())[:, :, 0, 0]
    shifts = (changed[:, 1] - changed[:, 2]) / 6
    assert kstest(shifts.numpy(), "uniform", (-0.1, 0.2)).pvalue > 0.001


def test_jitter_probability_is_the_share_of_changed_images():
    batch = torch.full((2000, 1, 1, 1), 0.3)
    changed = colour_jitter(batch, jitter(brightness=0.4, probability=0.8), seeded()) != batch
    assert abs(changed.float().mean() - 0.8) < 4 * math.sqrt(0.16 / 2000)


def test_jitter_saturation_and_hue_do_nothing_to_one_channel():
    grey = images(4, 1)
    assert torch.equal(colour_jitter(grey, jitter(saturation=0.9, hue=0.5), seeded()), grey)


def test_jitter_order_of_operations_is_drawn(monkeypatch):
    calls = []
    for name in ("brightness", "contrast"):
        monkeypatch.setattr(augmentation, f"_{name}", lambda images, factor, name=name: calls.append(name) or images)
    for seed in range(20):
        colour_jitter(images(4), jitter(brightness=0.4, contrast=0.4), seeded(seed))
    assert set(zip(calls[::2], calls[1::2], strict=True)) == {("brightness", "contrast"), ("contrast", "brightness")}


def test_silence_stays_silence_whatever_the_gain():
    steps = {"time_shift": 0, "gain": 0.5, "time_mask": 0, "frequency_mask": 0}
    assert not sounding(torch.zeros(20, 1, 8, 8), steps, seeded()).any()


@pytest.mark.parametrize(("key", "value"), [("flip", True), ("resized_crop", [0.5, 1]), ("crop_padding", 2)])
def test_pictures_augmentation_is_refused_for_spectrograms(key, value):
    config = filled_config()
    config = changed(config, {"datasets.heard": {**config["datasets"]["digits"], "source": "tones", "size": None}})
    config["study"]["datasets"] = ["heard"]
    for recipe in config["models"].values():
        recipe["augmentation"] |= {"crop_padding": 0, "resized_crop": None}
    check(config)
    with pytest.raises(ClxaiError, match=rf"models\.ce\.augmentation\.{key} would .* data set 'heard'.*augmentation\.sound"):
        check(changed(config, {f"models.ce.augmentation.{key}": value}))
