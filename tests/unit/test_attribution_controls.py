import numpy as np
import pytest
import torch
from clxai.attribution.base import Problem
from clxai.attribution.controls import sobel
from clxai.attribution.explaining import explain
from clxai.fills.base import fill_images, fill_of
from scipy import ndimage, stats


@pytest.fixture(scope="module")
def images(tiny_run):
    return tiny_run.at(tiny_run.index[:8].numpy())


def random_maps(run, seed):
    return explain(run, "random", {}, seed)["attribution"].values


def test_random_maps_are_the_same_for_all_heads(images):
    maps = random_maps(images, 0)
    for head in range(1, len(maps)):
        np.testing.assert_array_equal(maps[head], maps[0])


def test_random_maps_depend_on_the_seed_and_on_the_image(images):
    maps, other = random_maps(images, 0)[0], random_maps(images, 1)[0]
    flat = np.concatenate([maps, other]).reshape(16, -1)
    correlation = np.corrcoef(flat)[np.triu_indices(16, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(flat.shape[1])


def test_random_map_of_an_image_is_independent_of_the_other_images(images):
    subset = images.at(images.index[[6, 2]].numpy())
    np.testing.assert_array_equal(random_maps(subset, 3)[0], random_maps(images, 3)[0][[6, 2]])


def test_random_values_are_uniform(tiny_run):
    assert stats.kstest(random_maps(tiny_run, 0)[0].ravel(), "uniform").pvalue > 1e-3


def test_sobel_equals_scipy_with_replicated_borders(images):
    found = explain(images, "sobel", {}, 0)["attribution"].values[0]
    for image, edges in zip(images.images.mean(dim=1).double().numpy(), found, strict=True):
        across, down = (ndimage.sobel(image, axis=axis, mode="nearest") / 8 for axis in (1, 0))
        np.testing.assert_allclose(edges, np.hypot(across, down), atol=1e-6)


def test_sobel_of_a_ramp_is_its_slope(tiny_run):
    head, ramp = tiny_run.heads["linear"], torch.arange(6.0).expand(1, 3, 6, 6) / 10
    frozen, first = head.freeze(tiny_run.embeddings), torch.zeros(1, dtype=torch.int64)
    problem = Problem(tiny_run.encoder, tiny_run.checkpoint, head, frozen, ramp, first, first, None, 0)
    inner = sobel(problem, {}).maps[0, 0, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full((4, 4), 0.1))


def test_ink_is_the_mean_of_the_channels(images):
    torch.testing.assert_close(
        torch.from_numpy(explain(images, "ink", {}, 0)["attribution"].values[0]), images.images.mean(dim=1)
    )


@pytest.mark.parametrize("baseline", ["mean", "zero", "blur"])
def test_contrast_is_how_far_pixels_are_from_the_fill(images, baseline):
    found = explain(images, "contrast", {"baseline": baseline}, 0)["attribution"].values[0]
    filled = fill_images(fill_of(baseline), images.images, images.encoder.mean, images.index, 0)
    np.testing.assert_allclose(found, (images.images - filled).abs().mean(dim=1), atol=1e-6)
