"""Whether the test tells a network's own explanation from that of a neighbour."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Method, Panel, trust

START = "start"  # what the option `model` of such a borrowing method says


@trust("specificity", better=1, null=0.0, needs=["borrowed"])
def specificity(panel: Panel) -> Mapping[str, Float[ndarray, "seed image"]]:
    """Score of a method's own map minus that of the same method's map of another network, both on this network.

    Means over all maps borrowed of another seed (`srg_other_seed`), of another model (`srg_other_model`) and of the model that
    this one starts from (`srg_start`), and each alone (`srg_<name>`); `_wins` is the share of images on which the own map is
    above less the share on which it is below.
    """
    borrowed = {method.name: kind for method in panel.of_member("borrowed") if (kind := kind_of(method, panel)) is not None}
    own = {method.name: str(method.options["of"]) for method in panel.of_member("borrowed")}
    found = {}
    for part in INSTRUMENTS:
        gain = {name: panel.rated(part, [own[name]])[..., 0] - panel.rated(part, [name])[..., 0] for name in borrowed}
        groups = {kind: [gain[name] for name in gain if borrowed[name] == kind] for kind in dict.fromkeys(borrowed.values())}
        for name, values in {**groups, **{name: [value] for name, value in gain.items()}}.items():
            found[f"{part}_{name}"] = np.mean(values, axis=0)
            found[f"{part}_{name}_wins"] = np.sign(values).mean(0)
    return found


def kind_of(method: Method, panel: Panel) -> str | None:
    """Return whether a borrowed map is of another seed, another model or the start; None if it or the own map is not there.

    The model that this one starts from is no neighbour but its past: it stands apart from the other models. Randomised copies
    are none either: `randomisation` is about these.
    """
    lender, other_seed = method.lender.get(panel.model, (panel.model, False))
    if method.options["of"] not in [one.name for one in panel.methods] or panel.model in method.randomised:
        return None
    if lender != panel.model and method.options.get("model") == START:
        return START
    return "other_model" if lender != panel.model else "other_seed" if other_seed else None
