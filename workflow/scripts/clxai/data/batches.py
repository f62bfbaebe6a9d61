"""Images on their way to the device: resident there where they fit, else read from the memory map batch by batch."""

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from clxai.data.datasets import StoredImages
from clxai.runtime.memory import resident_bytes


def in_unit_range(pixels: Num[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return pixels in [0, 1], float32: a 255th of those stored with 8 bits; floats are in [0, 1] already."""
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()


class ImageStore:
    """Some images of a data set, given out as float batches in [0, 1], channels-last, on the device."""

    def __init__(self, images: np.ndarray | StoredImages, indices: np.ndarray, device: torch.device) -> None:
        self.images, self.indices, self.device = images, indices, device
        self.resident = None
        if self._n_bytes() <= resident_bytes(device):
            self.resident = torch.from_numpy(images[indices]).to(device)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def home(self) -> torch.device:
        """Where `take` wants its positions: on the device for resident images, else in main memory."""
        return self.device if self.resident is not None else torch.device("cpu")

    def take(self, positions: Int[Tensor, " image"]) -> Float[Tensor, "image channel y x"]:
        """Return the images at these positions of the store."""
        if self.resident is not None:
            batch = self.resident[positions.to(self.device)]
        else:
            batch = torch.from_numpy(self.images[self.indices[positions.cpu().numpy()]]).to(self.device, non_blocking=True)
        return in_unit_range(batch).contiguous(memory_format=torch.channels_last)

    def _n_bytes(self) -> int:
        return len(self.indices) * int(np.prod(self.images.shape[1:]))
