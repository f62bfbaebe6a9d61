"""Pieces of an image that follow its edges."""

import numpy as np
import torch
from jaxtyping import Float, Int
from skimage.segmentation import slic
from torch import Tensor

from clxai.units.base import units


@units("superpixels", count="n_segments", options={"n_segments": 50, "compactness": 10.0})
def superpixels(images: Float[Tensor, "image channel y x"], n_segments: int, compactness: float) -> Int[Tensor, "image y x"]:
    """SLIC superpixels in Lab colour space [Achanta et al. 2012], connected, about `n_segments` of them; scikit-image's.

    Deterministic. A larger `compactness` makes squarer pieces. Images of other than three channels are cut by their mean.
    """
    coloured = images if images.shape[1] == 3 else images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    found = [
        slic(image, n_segments=n_segments, compactness=compactness, start_label=0, channel_axis=-1)
        for image in coloured.permute(0, 2, 3, 1).double().cpu().numpy()
    ]
    numbered = [np.unique(labels, return_inverse=True)[1].reshape(labels.shape) for labels in found]
    return torch.from_numpy(np.stack(numbered))
