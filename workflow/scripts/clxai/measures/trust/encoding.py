"""Whether a map that spells the class, and explains nothing, wins."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Panel, trust


@trust("encoding", better=1, null=0.0, needs=["class_code", "methods"])
def encoding(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """Score of the methods minus that of a map that spells the class by its mask: below 0 the test rewards encoding.

    Mean over methods, that of the best method by its mean (`srg_best`), and the share of methods above the code less the share
    below (`srg_wins`).
    """
    codes, found = [method.name for method in panel.of_member("class_code")], {}
    for part in INSTRUMENTS:
        gain = panel.rated(part) - panel.rated(part, codes).mean(-1, keepdims=True)
        best = int(np.nan_to_num(gain.mean((0, 1)), nan=-np.inf).argmax())
        found |= {part: gain.mean(-1), f"{part}_best": gain[..., best], f"{part}_wins": np.sign(gain).mean(-1)}
    return found
