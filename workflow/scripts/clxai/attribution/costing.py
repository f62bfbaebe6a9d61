"""What an explanation costs, in forward passes: the products that it computes, counted while it is made and not by a formula."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional

from clxai.networks.inference import Encoder

_COUNTED = ("conv1d", "conv2d", "conv3d", "linear")


@dataclass
class Products:
    """How many multiplications convolutions and dense layers did, forward and backward, and attention forward: `total`."""

    total: int = 0

    def counting(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return the function of an input and a weight, counted, as are the gradients that its result hands back."""

        @wraps(function)
        def counted(inputs: Tensor, weight: Tensor, *args: object, **kwargs: object) -> Tensor:
            output = function(inputs, weight, *args, **kwargs)
            products = output.numel() * weight[0].numel()
            self.total += products
            if output.grad_fn is not None:
                output.grad_fn.register_hook(lambda gradients, given: self._add(products, gradients))
            return output

        return counted

    def counting_attention(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return attention, counted forward: the products of queries with keys, and of what they say with values."""

        @wraps(function)
        def counted(query: Tensor, key: Tensor, value: Tensor, *args: object, **kwargs: object) -> Tensor:
            output = function(query, key, value, *args, **kwargs)
            self.total += (query.numel() + output.numel()) * key.shape[-2]
            return output

        return counted

    def _add(self, products: int, gradients: Sequence[Tensor | None]) -> None:
        """Count a gradient by input or weight as much as the forward pass; that by a bias has no products."""
        self.total += products * sum(gradient is not None and gradient.ndim > 1 for gradient in gradients)


@contextmanager
def counted_products() -> Iterator[Products]:
    """Count what is computed meanwhile, by whatever copy or part of a network.

    A mode of torch would not see what hooks compute within a backward pass, and one below autograd takes a fifth of the time of
    small networks: the functions of `torch.nn.functional` are wrapped instead.
    """
    products = Products()
    with ExitStack() as stack:
        for name in _COUNTED:
            stack.enter_context(patch.object(functional, name, products.counting(getattr(functional, name))))
        attention = functional.scaled_dot_product_attention
        stack.enter_context(patch.object(functional, attention.__name__, products.counting_attention(attention)))
        yield products


@torch.no_grad()
def of_one_pass(encoder: Encoder) -> int:
    """Return the multiplications of one forward pass of one image, met on a black image; 1 for a network without any."""
    image = torch.zeros(1, len(encoder.mean), *encoder.architecture.shape, device=encoder.mean.device)
    with counted_products() as products:
        encoder.backbone(image)
    return max(1, products.total)
