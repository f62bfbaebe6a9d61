"""Whether the plain test agrees with the test on a network that was trained for it."""

from collections.abc import Mapping

from jaxtyping import Float
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Method, Panel, capped, trust
from clxai.ranks import spearman


@trust("references", better=1, null=0.0, low=-1, high=1, needs=["references", "ranking"])
@trust(
    "references_capped",
    better=1,
    null=0.0,
    low=-1,
    high=1,
    needs=["references", "ranking"],
    metrics=[
        "auc_deletion_matched",
        "auc_insertion_matched",
        "srg_matched",
        "auc_deletion_tenth",
        "auc_insertion_tenth",
        "srg_tenth",
        "auc_deletion_half",
        "auc_insertion_half",
        "srg_half",
    ],
    options={"cap": "tenth"},
)
def references(panel: Panel, cap: str | None = None) -> Mapping[str, Float[ndarray, " seed"]]:
    """Spearman correlation of the order of the methods on this model with that on its reference, within each seed.

    `own`: of the reference's own maps, `own_degraded`: with their degraded copies, where there are any. Without it: of this
    model's maps judged by the reference, for those that its run borrows. With a cap the reference is tested while no more than
    that share of the units is removed [F-Fidelity, Zheng et al. 2025]; `plain` is this model against itself so capped, which is
    what the cap does without a reference.
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
        until = capped(part, cap)
        found[f"{part}_own"] = spearman(panel.means(part), other.means(until))
        if cap is not None:
            found[f"{part}_plain"] = spearman(panel.means(part), panel.means(until))
        if degraded:
            found[f"{part}_own_degraded"] = spearman(panel.means(part, degraded), other.means(until, degraded))
        if len(names) > 1:
            found[part] = spearman(panel.means(part, names), other.means(until, [judged[name] for name in names]))
    return found


def _is_of(model: str, method: Method, reference: Panel) -> bool:
    lender, other_seed = method.lender.get(reference.model, (reference.model, False))
    return lender == model and not other_seed
