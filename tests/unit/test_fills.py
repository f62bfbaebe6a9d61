import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.fills.base import fill_images, fill_of
from clxai.fills.blur import gaussian_blur
from clxai.registry import declared
from scipy import ndimage, stats

MEAN = torch.tensor([0.2, 0.5, 0.7]).view(-1, 1, 1)
FILLS = [name for name, fill in declared("fills").items() if fill.semantics["needs"] not in ("mask", "bank")]
SIGMA = declared("fills")["blur"].semantics["options"]["sigma"]


def filled_by(name, images, mean, index, seed):
    return fill_images(fill_of(name), images, mean, index, seed)


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FILLS)
def test_fill_stays_in_pixel_range(images, name):
    filled = filled_by(name, images, MEAN, torch.arange(5), 0)
    assert filled.shape == images.shape
    assert float(filled.min()) >= 0
    assert float(filled.max()) <= 1 + 1e-6


@pytest.mark.parametrize("name", FILLS)
def test_fill_of_an_image_is_independent_of_its_batch(images, name):
    together = filled_by(name, images, MEAN, torch.arange(10, 15), 3)
    chosen = torch.tensor([4, 1])
    torch.testing.assert_close(filled_by(name, images[chosen], MEAN, 10 + chosen, 3), together[chosen], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FILLS)
def test_only_noise_depends_on_the_seed_and_on_the_index(images, name):
    first = filled_by(name, images, MEAN, torch.arange(5), 0)
    other_seed = filled_by(name, images, MEAN, torch.arange(5), 1)
    other_index = filled_by(name, images, MEAN, torch.arange(5, 10), 0)
    assert torch.equal(first, other_seed) == torch.equal(first, other_index) == (name != "noise")


def test_mean_fill_is_the_colour_of_the_training_set(images):
    filled = filled_by("mean", images, MEAN, torch.arange(5), 0)
    assert torch.equal(filled.amin(dim=(0, 2, 3)), MEAN.flatten())
    assert torch.equal(filled.amax(dim=(0, 2, 3)), MEAN.flatten())


def test_zero_fill_is_black(images):
    assert filled_by("zero", images, MEAN, torch.arange(5), 0).count_nonzero() == 0


def test_noise_fill_is_uniform_and_independent_between_channels(images):
    filled = filled_by("noise", images, MEAN, torch.arange(5), 0).double()
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
    sigma = SIGMA * 16
    truncate = np.ceil(3 * sigma) / sigma
    found = filled_by("blur", images, MEAN, torch.arange(5), 0)[2, 1].numpy()
    expected = ndimage.gaussian_filter(images[2, 1].double().numpy(), sigma, mode="mirror", truncate=truncate)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_blur_wider_than_the_image_is_cut_at_its_size():
    small = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    expected = ndimage.gaussian_filter(small[0, 0].numpy(), 5.0, mode="mirror", truncate=3 / 5.0)
    np.testing.assert_allclose(gaussian_blur(small, 5.0)[0, 0], expected, atol=1e-12)


def test_unknown_fill_is_answered_with_the_nearest(images):
    with pytest.raises(ClxaiError, match=r"fill 'blurr'\. Did you mean 'blur'\? Known: blur, linear, mean, .*, zero"):
        filled_by("blurr", images, MEAN, torch.arange(5), 0)


@pytest.mark.parametrize("name", FILLS)
def test_images_need_not_be_square(name):
    images = torch.rand(2, 3, 8, 20, generator=torch.Generator().manual_seed(0))
    assert filled_by(name, images, MEAN, torch.arange(2), 0).shape == images.shape


def test_blur_of_a_wide_image_takes_its_share_of_the_shorter_side():
    image = torch.rand(1, 1, 8, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = 0.25 * 8
    expected = ndimage.gaussian_filter(image[0, 0].numpy(), sigma, mode="mirror", truncate=3.0)
    wide = fill_of({"name": "wide", "fill": "blur", "options": {"sigma": 0.25}})
    assert wide.name == "wide"
    np.testing.assert_allclose(fill_images(wide, image, MEAN[:1], torch.arange(1), 0)[0, 0], expected, atol=1e-12)
