"""Computation in chunks that become smaller when the memory of the GPU does not suffice: other programs may use it too.

Chunks change no number: what is computed for one item depends on no other item of its chunk.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Shaped
from torch import Tensor

from clxai.errors import ClxaiError

LOWER = "datasets.<name>.size or models.<name>.network_options"  # the keys that decide how much memory one image takes

T = TypeVar("T")


def halving(compute: Callable[[int], T], size: int, what: str, lower: str = LOWER) -> tuple[T, int]:
    """Return `compute(size)` and the size that was used: halved, with a printed line, as often as the memory does not suffice.

    `what` names the computation in that line. Raises ClxaiError naming the keys to lower if one item at a time does not fit.
    """
    while True:
        try:
            return compute(size), size
        except torch.OutOfMemoryError as error:
            reason = str(error).split(". ")[0]
        # Out of the except clause: the error holds on to the frames, and these to their tensors.
        _free()
        if size <= 1:
            raise ClxaiError(f"{what}: one item at a time does not fit into the memory ({reason}): lower {lower}")
        size //= 2
        print(f"{what}: out of memory, going on with {size} at a time", flush=True)


def in_chunks(
    compute: Callable[[Tensor], T], items: Shaped[Tensor, " item"], size: int, what: str, lower: str = LOWER
) -> list[T]:
    """Return what `compute` makes of consecutive chunks of `items`, at most `size` each, fewer from the first one on that does
    not fit into the memory. Chunks that are done are not computed again.

    Raises ClxaiError as `halving` does.
    """
    parts: list[T] = []
    start = 0
    while start < len(items):
        here = start
        part, size = halving(lambda n, here=here: compute(items[here : here + n]), min(size, len(items) - start), what, lower)
        parts.append(part)
        start += size
    return parts


def _free() -> None:
    """Give the blocks that PyTorch keeps for later back to the device, where other processes wait for them too."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
