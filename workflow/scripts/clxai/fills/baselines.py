"""What is kept of images that stand for nothing: where they are from, a digest of the very tensors handed over, pictures."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from clxai.errors import ClxaiError

SPACE = "normalised"  # of the numbers that are handed over; they are made from images in [0, 1]
TRAINING = "training"  # what a set of training images is called where one image has the name of its fill
PREVIEW, PREVIEW_AXES = "baseline_preview", ("reference", "channel", "y", "x")
SHOWN = 9  # pictures of a preview


@dataclass(frozen=True)
class Digest:
    """SHA-256 of tensors [reference, channel, y, x] that are handed over in pieces: of all bytes in order, then dtype and shape.

    How they are cut into pieces changes nothing.
    """

    state: Any = field(default_factory=hashlib.sha256)
    shape: tuple[int, ...] = ()
    dtype: str = ""

    def then(self, piece: Float[Tensor, "reference channel y x"]) -> "Digest":
        """Return the digest after one more piece. Raises ClxaiError if it is of another kind than those before."""
        numbers = piece.detach().cpu().contiguous().numpy()
        if self.shape and (numbers.shape[1:], str(numbers.dtype)) != (self.shape[1:], self.dtype):
            raise ClxaiError(f"a baseline of {self.dtype} {list(self.shape[1:])} goes on as {numbers.dtype} {numbers.shape[1:]}")
        state = self.state.copy()
        state.update(numbers.tobytes())
        before = self.shape[0] if self.shape else 0
        return Digest(state, (before + len(numbers), *numbers.shape[1:]), str(numbers.dtype))

    @property
    def sha256(self) -> str:
        """The digest of all pieces so far, in hexadecimal digits."""
        state = self.state.copy()
        state.update(f"{self.dtype} {list(self.shape)}".encode())
        return state.hexdigest()


def baseline_record(
    mode: str, digest: Digest, cardinality: str = "single", source: str = "", index: Sequence[int] = ()
) -> dict[str, Any]:
    """Return what is kept of images that stand for nothing: the fill or `TRAINING`, how many, of which kind, their digest.

    `index` are the numbers of the training images of a set.
    """
    record = {"baseline": mode, "baseline_cardinality": cardinality, "baseline_space": SPACE, "baseline_dtype": digest.dtype}
    record |= {"baseline_source": source, "baseline_shape": list(digest.shape), "baseline_sha256": digest.sha256}
    return record | ({"baseline_images": list(index)} if index else {})


def source_of(member: str, options: Mapping[str, Any], seed: int) -> str:
    """Return in words what made the images: a fill with its options, and the seed by which it draws."""
    told = ", ".join([*(f"{name} {value}" for name, value in options.items()), f"seed {seed}"])
    return f"fill {member} ({told})"


def preview(images: Float[Tensor, "reference channel y x"]) -> UInt8[np.ndarray, "shown channel y x"]:
    """Return the first of the images in [0, 1], at most `SHOWN`, in 8 bits."""
    return (images[:SHOWN].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
