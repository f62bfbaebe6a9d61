"""How much of a map lies in the known evidence, with intervals."""

from collections.abc import Iterable, Mapping

import pandas as pd
import xarray

from clxai.measures.metrics.base import METRICS
from clxai.names import ALL

# Of maps of images whose evidence is known, see `attribution.truth`: how much of a map lies in it.
SHARES = ("relevance_mass", "relevance_rank")
CHANCE = "evidence_share"  # of the image: what both are by chance


def better_of(name: str) -> int:
    """Return the direction of a metric of curves, or of a share: 1 more is better, -1 less, 0 neither."""
    return 1 if name in SHARES else METRICS[name].semantics["better"]


def truth_images(maps: Iterable[tuple[Mapping[str, object], xarray.Dataset]]) -> pd.DataFrame:
    """Return the shares of each map, one row per model, seed, method, head and image, with the columns of the table of images.

    They depend on neither units nor fill: both are `all`. Empty where the evidence is not known.
    """
    parts = []
    for run, explained in maps:
        if SHARES[0] in explained:
            part = explained[list(SHARES)].to_dataframe().reset_index().rename(columns={"head": "explained_by"})
            place = {**{name: run[name] for name in ("model", "seed", "method")}, "units": ALL, "fill": ALL}
            parts.append(part.assign(**place, scored_by=part["explained_by"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
