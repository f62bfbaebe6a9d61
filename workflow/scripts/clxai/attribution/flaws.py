"""Maps that rank nothing, so that flipping takes a random order; free of torch, for figures too."""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

Flawed = Bool[ndarray, "*maps"] | np.bool_  # NumPy gives a scalar for a single one


def flaws_of(maps: Float[ndarray, "*maps y x"]) -> dict[str, Flawed]:
    """Return which maps have a value that is `not_finite`, are `all_zero`, and which are finite and `constant`, as 0 is."""
    flat = maps.reshape(*maps.shape[:-2], -1)
    finite = np.isfinite(flat).all(-1)
    same = (flat == flat[..., :1]).all(-1)
    return {"not_finite": ~finite, "all_zero": (flat == 0).all(-1), "constant": finite & same}
