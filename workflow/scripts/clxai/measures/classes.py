"""How alike a method's maps for two classes are: random logit [Sixt et al. 2020].

A map that is the same for another class does not explain the class. A map of noise is the least alike of all, and passes best.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from clxai.measures.explained import Read
from clxai.measures.groups import groups_at
from clxai.measures.rows import mean_columns
from clxai.measures.similarity import Found, Maps, over_seeds, similarities, unit_means
from clxai.units.base import Cut

COLUMNS = (
    *("model", "units", "method", "other", "head", "measure", "better", "mean", "ci_low", "ci_high"),
    *("ci_over", "n_seeds", "n_images", "n_undefined"),
)


def class_table(
    read: Read,
    seeds: Sequence[int],
    cuts: Mapping[str, Cut],
    pairs: Sequence[Mapping[str, str]],
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Return mean and 95 % interval of each similarity of a method's maps for the prediction and for another class.

    One row per pair, head, units and measure; lower is better. `pairs` name model, `method`, whose maps explain the prediction,
    and `other`, whose maps are those of the other class. Measures of pixels stand under units `all`. `groups` has the group of
    each image by its number, where the data have groups.
    """
    rows = []
    for pair in pairs:
        maps = [[read(pair["model"], seed, pair[name])["attribution"] for name in ("method", "other")] for seed in seeds]
        heads, of = maps[0][0]["head"].values.tolist(), groups_at(groups, maps[0][0]["image"].values)
        for (units, measure), values in over_seeds(maps, cuts, class_similarities).items():
            for place, head in enumerate(heads):
                what = {"units": units, "head": head, "measure": measure, "better": -1}
                rows.append({**pair, **what, **mean_columns(values[:, place], of)})
    return pd.DataFrame(rows, columns=COLUMNS)


def class_similarities(own: Maps, other: Maps, cuts: Mapping[str, Cut]) -> Iterator[tuple[str, str, Found]]:
    """Yield units, measure and the similarity of two maps: those of `similarities` and the cosine of the units' means.

    `class_cosine` and `class_spearman` do not depend on the scale of either map; all are undefined where one is 0 everywhere.
    """
    for units, cut in cuts.items():
        one, two = (np.nan_to_num(unit_means(values, cut)) for values in (own, other))
        length = np.linalg.norm(one, axis=-1) * np.linalg.norm(two, axis=-1)
        finite = np.isfinite(own).all((-2, -1)) & np.isfinite(other).all((-2, -1))
        known = finite & (length > 0)
        cosine = np.clip((one * two).sum(axis=-1) / np.where(known, length, 1), -1, 1)
        yield units, "class_cosine", np.where(known, cosine, np.nan)
    for units, measure, values in similarities(own, other, cuts):
        yield units, f"class_{measure}", values
