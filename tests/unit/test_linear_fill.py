"""Noisy linear imputation, held against sparse direct solves and against the package that publishes it."""

import itertools

import numpy as np
import pytest
import torch
from clxai.errors import ClxaiError
from clxai.fills.base import fill_images, fill_of
from clxai.fills.linear import imputed
from clxai.registry import declared
from project import check, filled_config
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve

MEAN = torch.tensor([0.2, 0.5, 0.7]).view(-1, 1, 1)
TOLERANCE = declared("fills")["linear"].semantics["options"]["tolerance"]


def linear(noise, tolerance=TOLERANCE):
    return fill_of({"name": "road", "fill": "linear", "options": {"noise": noise, "tolerance": tolerance}})


def pictures(n, channels, height, width, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def directly(image, removed):
    """One equation per removed pixel, by the definition, in float64."""
    unknown = {tuple(place): number for number, place in enumerate(np.argwhere(removed))}
    matrix, right = np.zeros((len(unknown), len(unknown))), np.zeros((len(unknown), len(image)))
    for (y, x), row in unknown.items():
        for dy, dx in itertools.product((-1, 0, 1), repeat=2):
            there = (y + dy, x + dx)
            if (dy, dx) == (0, 0) or not (0 <= there[0] < removed.shape[0] and 0 <= there[1] < removed.shape[1]):
                continue
            weight = 1 / 12 if dy and dx else 1 / 6
            matrix[row, row] += weight
            if there in unknown:
                matrix[row, unknown[there]] -= weight
            else:
                right[row] += weight * image[:, there[0], there[1]]
    filled = image.astype(np.float64).copy()
    if unknown:
        filled[:, removed] = spsolve(csc_matrix(matrix), right).reshape(right.shape).T
    return filled


def some_masks(height, width):
    """Scattered pixels at several shares, solid blocks inside and at the border, all but one pixel, nothing."""
    scattered = (
        torch.rand(4, height, width, generator=torch.Generator().manual_seed(1))
        < torch.tensor([0.1, 0.5, 0.9, 0.97])[:, None, None]
    )
    inner, corner, all_but_one = (torch.zeros(height, width, dtype=torch.bool) for _ in range(3))
    inner[1:-1, 1:-1] = True
    corner[: height // 2, : width // 2 + 1] = True
    all_but_one[:] = True
    all_but_one[height // 3, width // 4] = False
    return torch.cat([scattered, torch.stack([inner, corner, all_but_one, torch.zeros_like(inner)])])


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 24, 24), (3, 16, 16), (3, 12, 29), (2, 26, 5)])
def test_solution_equals_a_sparse_direct_solve(channels, height, width):
    masks = some_masks(height, width)
    images = pictures(len(masks), channels, height, width)
    found = imputed(images, masks, MEAN[:1].expand(channels, 1, 1), TOLERANCE)
    for image, removed, filled in zip(images.numpy(), masks.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(filled, directly(image, removed), atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # NumPy of how the package calls it
def test_solution_equals_that_of_the_package():
    masks = some_masks(20, 20)
    images, peer = pictures(len(masks), 3, 20, 20), NoisyLinearImputer(noise=0)
    found = imputed(images, masks, MEAN, TOLERANCE)
    for image, removed, filled in zip(images[:-1], masks[:-1], found, strict=False):  # the package fails where nothing is gone
        torch.testing.assert_close(filled, peer(image, (~removed).float()), rtol=0, atol=1e-4)


def test_large_hole_is_solved_to_the_stated_accuracy():
    image, removed = pictures(1, 1, 96, 96), torch.zeros(1, 96, 96, dtype=torch.bool)
    removed[:, 2:-2, 2:-2] = True
    found = imputed(image, removed, MEAN[:1], TOLERANCE)
    exact = imputed(image.double(), removed, MEAN[:1].double(), 1e-12)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-4)


def test_image_without_a_pixel_left_is_the_mean_colour_and_one_without_a_hole_itself():
    images = pictures(2, 3, 8, 8)
    removed = torch.zeros(2, 8, 8, dtype=torch.bool)
    removed[0] = True
    found = imputed(images, removed, MEAN, TOLERANCE)
    assert torch.equal(found[0], MEAN.expand(3, 8, 8))
    assert torch.equal(found[1], images[1])


def test_solution_reproduces_a_slope_and_a_constant():
    slope = torch.linspace(0, 1, 15).expand(1, 1, 15, 15).contiguous()
    removed = torch.zeros(1, 15, 15, dtype=torch.bool)
    removed[:, 3:9, 4:12] = True
    torch.testing.assert_close(imputed(slope, removed, MEAN[:1], TOLERANCE), slope, rtol=0, atol=1e-5)
    flat = torch.full((1, 1, 15, 15), 0.3)
    torch.testing.assert_close(imputed(flat, removed, MEAN[:1], TOLERANCE), flat, rtol=0, atol=1e-5)


def test_kept_pixels_do_not_move():
    masks = some_masks(16, 16)
    images = pictures(len(masks), 3, 16, 16)
    found = fill_images(linear(0.01), images, MEAN, torch.arange(len(masks)), 0, masks)
    kept = ~masks[:, None].expand_as(images)
    assert torch.equal(found[kept], images[kept])


def test_fill_depends_on_no_other_image_of_its_batch():
    masks = some_masks(16, 16)
    images, index = pictures(len(masks), 3, 16, 16), torch.arange(40, 40 + len(masks))
    together = fill_images(linear(0.01), images, MEAN, index, 3, masks)
    some = torch.tensor([5, 1])
    apart = fill_images(linear(0.01), images[some], MEAN, index[some], 3, masks[some])
    torch.testing.assert_close(apart, together[some], rtol=0, atol=1e-6)


def test_noise_is_one_field_per_seed_and_image_whatever_is_removed():
    image, masks = pictures(1, 3, 16, 16).expand(3, -1, -1, -1), torch.zeros(3, 16, 16, dtype=torch.bool)
    masks[0, :4], masks[1, :9], masks[2] = True, True, True

    def noise(index, seed):
        whole = fill_images(linear(0.01), image, MEAN, index, seed, masks)
        return whole - fill_images(linear(0.0), image, MEAN, index, seed, masks)

    field = noise(torch.tensor([7, 7, 7]), 0)
    torch.testing.assert_close(field[0, :, :4], field[2, :, :4], rtol=0, atol=1e-6)
    torch.testing.assert_close(field[1, :, :9], field[2, :, :9], rtol=0, atol=1e-6)
    assert float(field[2].std()) == pytest.approx(0.01, rel=0.1)
    assert abs(float(field[2].mean())) < 0.002
    others = noise(torch.tensor([7, 7, 8]), 0)[2], noise(torch.tensor([7, 7, 7]), 1)[2]
    assert all(float((other - field[2]).abs().max()) > 0.005 for other in others)


def test_a_search_that_does_not_end_says_so(monkeypatch):
    monkeypatch.setattr("clxai.fills.linear._most_iterations", lambda images: 3)
    with pytest.raises(ClxaiError, match=r"did not converge within 3 iterations .* raise fills\.<name>\.tolerance, now 1e-07"):
        imputed(pictures(1, 1, 16, 16), some_masks(16, 16)[4:5], MEAN[:1], TOLERANCE)


@pytest.mark.parametrize(("options", "refused"), [({"noise": 0}, None), ({"noise": -0.1}, ">= 0"), ({"tolerance": 0}, "> 0")])
def test_noise_may_be_zero_and_the_tolerance_may_not(options, refused):
    config = filled_config(fills={"linear": options})
    config["flipping"]["fills"] = ["mean", "linear"]
    if refused is None:
        check(config)
    else:
        with pytest.raises(ClxaiError, match=rf"fills\.linear\.{next(iter(options))} must be {refused}"):
            check(config)


def test_linear_fill_is_no_baseline():
    config = filled_config(methods={"integrated_gradients": {"baseline": "linear"}})
    with pytest.raises(ClxaiError, match="needs the mask of removed pixels, and a baseline has none"):
        check(config)
