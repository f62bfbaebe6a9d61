"""Whether the test tells a trained network's explanation from that of the same network without what it learnt."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.reinitialised import parts_of
from clxai.measures.trust.base import INSTRUMENTS, Method, Panel, trust


@trust("randomisation", better=1, null=0.0, needs=["randomised"])
def randomisation(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """Score of a method's own map minus that of its map of a randomised copy of the network, both on this, the trained, network.

    For each lent map (`srg_<name>`), and the mean over methods where the most was drawn anew (`srg`). Not above 0: the test does
    not see what training gave to this map. Each seed is a training and a re-initialisation of its own.
    """
    lent, found = randomised(panel), {}
    for part in INSTRUMENTS:
        gain = {
            method.name: (panel.rated(part, [str(method.options["of"])]) - panel.rated(part, [method.name]))[..., 0]
            for method in lent
        }
        found |= {part: np.mean([gain[name] for name in _most(lent, panel.model)], axis=0)} if lent else {}
        found |= {f"{part}_{name}": values for name, values in gain.items()}
    return found


def randomised(panel: Panel) -> list[Method]:
    """Return the methods that lend the maps of a randomised copy of the panel's network, where the own map is there too."""
    names = [method.name for method in panel.methods]
    return [one for one in panel.methods if panel.model in one.randomised and one.options["of"] in names]


def _most(lent: list[Method], model: str) -> list[str]:
    """Return for each method that is tested the lent map of the copy in which the most parts were drawn anew."""
    ordered = sorted(lent, key=lambda one: len(parts_of(one.randomised[model])))
    return list({str(one.options["of"]): one.name for one in ordered}.values())
