"""Whether the plain test agrees with the test on a network that was trained for it."""

from collections.abc import Mapping

from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Method, Panel, trust
from clxai.measures.trust.ranks import spearman


@trust("references", better=1, null=0.0, low=-1, high=1, needs=["references", "ranking"])
def references(panel: Panel) -> Mapping[str, Float[ndarray, " seed"]]:
    """Spearman correlation of the order of the methods on this model with that on its reference, within each seed.

    `own`: of the reference's own maps, `own_degraded`: with their degraded copies, where there are any. Without it: of this
    model's maps judged by the reference, for those that its run borrows.
    """
    other = panel.reference
    if other is None:
        return {}
    judged = {
        str(method.options["of"]): method.name for method in other.of_member("borrowed") if _is_of(panel.model, method, other)
    }
    there = [method.name for method in other.methods]
    names, copies = [name for name in panel.explanations if name in judged], panel.of_member("degraded")
    degraded = [*panel.explanations, *(method.name for method in copies if method.name in there)] if copies else []
    found = {}
    for part in INSTRUMENTS:
        found[f"{part}_own"] = spearman(panel.means(part), other.means(part))
        if degraded:
            found[f"{part}_own_degraded"] = spearman(panel.means(part, degraded), other.means(part, degraded))
        if len(names) > 1:
            found[part] = spearman(panel.means(part, names), other.means(part, [judged[name] for name in names]))
    return found


def _is_of(model: str, method: Method, reference: Panel) -> bool:
    lender, other_seed = method.lender.get(reference.model, (reference.model, False))
    return lender == model and not other_seed
