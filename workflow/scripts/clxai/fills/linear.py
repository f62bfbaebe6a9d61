"""Imputation from what is left: removed pixels as weighted means of their neighbours."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.fills.base import Canvas, fill
from clxai.keys import key_of
from clxai.randomness import keyed_normal

WEIGHTS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))  # of the 8 neighbours
_BETWEEN_CHECKS = 8  # iterations, after which the images that are solved leave the batch
_TEXT = "fill 'linear' did not converge within {} iterations (residual {:.2g}): raise fills.<name>.tolerance, now {:g}"


@fill("linear", needs="mask", options={"noise": 0.01, "tolerance": 1e-7}, at_least={"noise": 0})
def linear(canvas: Canvas, noise: float, tolerance: float) -> Float[Tensor, "image channel y x"]:
    """Each removed pixel the weighted mean of its neighbours, plus noise [Rong et al. 2022].

    Not clipped, as the original is not. The noise is one normal field of standard deviation `noise` per image, keyed by seed and
    image: the same at each step. An image that is removed as a whole becomes the training set's mean colour, plus noise.
    """
    solved = imputed(canvas.images, canvas.removed, canvas.mean, tolerance)
    if not noise:
        return solved
    index, row = canvas.index.unique(return_inverse=True)
    field = keyed_normal(key_of("linear", canvas.seed), index, canvas.images[0].numel()).to(solved.dtype)
    noisy = solved + noise * field.view(-1, *solved.shape[1:])[row]
    return torch.where(canvas.removed[:, None], noisy, solved)


def imputed(
    images: Float[Tensor, "image channel y x"],
    removed: Bool[Tensor, "image y x"],
    start: Float[Tensor, "channel 1 1"],
    tolerance: float,
) -> Float[Tensor, "image channel y x"]:
    """Return images whose removed pixels are the weighted means of their neighbours in the image, all at once.

    The neighbours weigh 1/6 (direct) and 1/12 (diagonal); at borders, those inside the image are rescaled to a sum of 1. The
    linear system is symmetric and positive definite, and solved by conjugate gradients whose product with the matrix is a masked
    3x3 convolution, for all images and channels together. An image is done when no removed pixel is farther than `tolerance`
    from the mean of its neighbours (at the border times the weight inside the image). The search begins at `start`; images
    without a pixel left, for which every constant is a solution, stay there. Raises ClxaiError if an image does not converge.
    """
    free = (removed & ~removed.all(dim=(1, 2), keepdim=True))[:, None].to(images.dtype)
    solution = torch.where(removed[:, None], start.to(images.dtype), images)
    inside = _neighbours(torch.ones_like(images[:1, :1]))
    residual = free * (_neighbours(solution) - inside * solution)
    answer, place = solution.clone(), torch.arange(len(images), device=images.device)
    direction, squares = residual, residual.square().sum(dim=(2, 3), keepdim=True)
    for iteration in range(_most_iterations(images)):
        if iteration % _BETWEEN_CHECKS == 0:
            open_ = residual.abs().amax(dim=(1, 2, 3)) > tolerance
            answer[place[~open_]] = solution[~open_]
            parts = (place, free, solution, residual, direction, squares)
            place, free, solution, residual, direction, squares = (part[open_] for part in parts)
            if not len(place):
                return answer
        product = free * (inside * direction - _neighbours(direction))
        step = _ratio(squares, (direction * product).sum(dim=(2, 3), keepdim=True))
        solution = solution + step * direction
        residual = residual - step * product
        before, squares = squares, residual.square().sum(dim=(2, 3), keepdim=True)
        direction = residual + _ratio(squares, before) * direction
    raise ClxaiError(_TEXT.format(_most_iterations(images), float(residual.abs().max()), tolerance))


def _neighbours(values: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image channel y x"]:
    """Return the weighted sum of each pixel's neighbours; those outside the image count 0."""
    flat = values.reshape(1, -1, *values.shape[2:])
    kernel = values.new_tensor(WEIGHTS).expand(flat.shape[1], 1, 3, 3)
    return functional.conv2d(flat, kernel, padding=1, groups=flat.shape[1]).view_as(values)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Return a quotient, 0 where a channel has nothing left to solve."""
    return torch.where(below > 0, above / below, torch.zeros_like(above))


def _most_iterations(images: Tensor) -> int:
    """Return a bound beyond which something is wrong; usual are fewer iterations than the longer side of the hole has pixels."""
    return 20 * sum(images.shape[-2:]) + 200
