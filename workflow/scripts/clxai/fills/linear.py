"""Imputation from what is left: removed pixels as weighted means of their neighbours."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from clxai.errors import ClxaiError
from clxai.fills.base import Canvas, fill
from clxai.keys import key_of
from clxai.randomness import keyed_normal

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
    answer = torch.where(removed[:, None], start.to(images.dtype), images)
    free = _bordered((removed & ~removed.all(dim=(1, 2), keepdim=True))[:, None].to(images.dtype))
    # All by 12: the weights are whole numbers then, and sums of constants cancel without a rounding error of one sign.
    solution, own = _bordered(answer), free * _binomial(_bordered(torch.ones_like(images[:1, :1])))
    residual = -_product(solution, own, free)
    place, direction = torch.arange(len(images), device=images.device), residual.clone()
    squares = _dot(residual, residual)
    for iteration in range(_most_iterations(images)):
        if iteration % _BETWEEN_CHECKS == 0:
            open_ = residual.abs().amax(dim=(1, 2, 3)) > 12 * tolerance
            answer[place[~open_]] = solution[~open_, :, :-1, :-1]
            parts = (place, own, free, solution, residual, direction, squares)
            place, own, free, solution, residual, direction, squares = (part[open_] for part in parts)
            if not len(place):
                return answer
        product = _product(direction, own, free)
        step = _ratio(squares, _dot(direction, product))
        solution.addcmul_(step, direction)
        residual.addcmul_(step, product, value=-1)
        before, squares = squares, _dot(residual, residual)
        direction = torch.addcmul(residual, _ratio(squares, before), direction)
    raise ClxaiError(_TEXT.format(_most_iterations(images), float(residual.abs().max()) / 12, tolerance))


def _product(values: Tensor, own: Tensor, free: Tensor) -> Float[Tensor, "image channel y1 x1"]:
    """Return 12 times the product with the matrix: weight inside the image times the pixel, less the neighbours' weighted sum."""
    return _binomial(values).mul_(free).neg_().addcmul_(own, values)


def _bordered(values: Float[Tensor, "image channel y x"]) -> Float[Tensor, "image channel y1 x1"]:
    """Return values with a row and a column of zeros after the last ones: what lies outside the image, on every side of it."""
    return functional.pad(values, (0, 1, 0, 1))


def _binomial(values: Float[Tensor, "image channel y1 x1"]) -> Float[Tensor, "image channel y1 x1"]:
    """Return the 3x3 convolution of bordered values with [1 2 1] x [1 2 1]: 12 times the weights, and 4 times the pixel itself.

    By shifts of the one flat array, in which the border of one row is before the next: three times as fast as a convolution of
    one channel each. What it gives on the border itself means nothing.
    """
    width = values.shape[3]
    flat = functional.pad(values.flatten(), (width + 1, width + 1))
    across = torch.add(flat[:-2], flat[2:]).add_(flat[1:-1], alpha=2)
    both = torch.add(across[: -2 * width], across[2 * width :]).add_(across[width:-width], alpha=2)
    return both.view_as(values)


def _dot(one: Tensor, other: Tensor) -> Float[Tensor, "image channel 1 1"]:
    return (one * other).sum(dim=(2, 3), keepdim=True)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Return a quotient; 0 where a channel has nothing left to solve, and both are 0."""
    return above / below.clamp_min(torch.finfo(above.dtype).tiny)


def _most_iterations(images: Tensor) -> int:
    """Return a bound beyond which something is wrong; usual are fewer iterations than the longer side of the hole has pixels."""
    return 20 * sum(images.shape[-2:]) + 200
