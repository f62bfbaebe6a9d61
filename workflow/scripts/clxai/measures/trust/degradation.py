"""Whether the test finds a known order: that of maps a growing share of which is permuted."""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from clxai.measures.trust.base import INSTRUMENTS, Panel, capped, trust
from clxai.ranks import spearman


@trust("degradation", better=1, null=0.0, low=-1, high=1, needs=["degraded"])
@trust(
    "degradation_capped",
    better=1,
    null=0.0,
    low=-1,
    high=1,
    needs=["degraded"],
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
def degradation(panel: Panel, cap: str | None = None) -> Mapping[str, ndarray]:
    """Spearman correlation of the score with the share of a map that is left, over its degraded copies [Zheng et al. 2025].

    `macro`: of the means over images, within each seed. `micro`: within each image and seed. Both as the mean over the maps that
    are degraded, and of each (`morf_macro_lrp`). With a cap no more than that share of the units is removed.
    """
    series, found = {of: levels for of, levels in _series(panel).items() if len(set(levels.values())) > 1}, {}
    for part in INSTRUMENTS:
        for of, levels in series.items():
            until, left = capped(part, cap), 1 - np.array([*levels.values()])
            values = panel.rated(until, [*levels])
            found[f"{part}_macro_{of}"] = spearman(panel.means(until, [*levels]), left)
            found[f"{part}_micro_{of}"] = spearman(values, left)
        for kind in ("macro", "micro") if series else ():
            found[f"{part}_{kind}"] = np.mean([found[f"{part}_{kind}_{of}"] for of in series], axis=0)
    return found


def _series(panel: Panel) -> dict[str, dict[str, float]]:
    """Return by map that is degraded the shares of its copies, by name; the map itself is one of share 0 where it is flipped."""
    names, found = [method.name for method in panel.methods], {}
    for method in panel.of_member("degraded"):
        of = str(method.options["of"])
        levels = found.setdefault(of, {of: 0.0} if of in names else {})
        levels[method.name] = float(method.options["share"])
    return found
