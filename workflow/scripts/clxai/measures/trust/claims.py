"""Whether the routes by which two models can be compared allow a claim together."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from clxai.measures.trust.assessing import PLACE

ROUTES = "routes"  # the measure whose parts are the routes
_PAIR = ["model", "minus", *PLACE]
CLAIM_COLUMNS = (*_PAIR, "claim", "n_routes", "n_above", "n_below")


def claim_table(contrasts: pd.DataFrame, members: Mapping[str, str]) -> pd.DataFrame:
    """Return what the routes say of each pair of models together, one row per measure of routes, pair, head, units and fill.

    `n_above` and `n_below` count the routes whose interval lies above and below 0. `claim`: `higher` or `lower` if all do so on
    one side; `contradiction` if some lie above and others below; `partly` if some lie on one side and the others on neither;
    `none` if all have 0 inside; `undefined` if one has no interval.
    """
    rows = contrasts[contrasts["measure"].isin([name for name, member in members.items() if member == ROUTES])]
    found = []
    for (_, *place), parts in rows.groupby(["measure", *_PAIR], sort=False):
        above, below = int((parts["ci_low"] > 0).sum()), int((parts["ci_high"] < 0).sum())
        defined = bool(np.isfinite(parts[["ci_low", "ci_high"]]).all(axis=None))
        claim = claim_of(len(parts), above, below) if defined else "undefined"
        numbers = {"claim": claim, "n_routes": len(parts), "n_above": above, "n_below": below}
        found.append({**dict(zip(_PAIR, place, strict=True)), **numbers})
    return pd.DataFrame(found, columns=CLAIM_COLUMNS)


def claim_of(n_routes: int, above: int, below: int) -> str:
    """Return what routes say together of which so many have intervals above and below 0."""
    if above and below:
        return "contradiction"
    if n_routes in (above, below):
        return "higher" if above else "lower"
    return "partly" if above or below else "none"
