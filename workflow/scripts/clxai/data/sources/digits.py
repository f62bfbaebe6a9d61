"""The digits of scikit-learn."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clxai.data.digits import check
from clxai.data.sources.base import Source, source


@source("digits", planning="clxai.data.digits")
def digits(config: Mapping[str, Any]) -> Source:
    """Scikit-learn's 1,797 handwritten digits, 8x8, embedded in the library [Alpaydin, Kaynak 1998]."""
    from sklearn.datasets import load_digits

    check(config, "datasets")
    bunch = load_digits()
    images = np.rint(bunch.images * 255 / 16).astype(np.uint8)  # grey levels 0..16
    labels = bunch.target.astype(np.int64)
    return Source(labels, np.zeros_like(labels), tuple(map(str, range(10))), images.__getitem__)
