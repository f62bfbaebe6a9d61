"""How large a difference is, in units that need no knowledge of the metric."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.measures.statistics import seed_deviation, seed_means


def standardised(differences: Float[ndarray, "seed image column"]) -> Float[ndarray, " column"]:
    """Return Hedges' g_z over seeds: mean over deviation of the seeds' mean differences, corrected for their small number.

    Cohen's d_z [Lakens 2013, eq. 6] times J = gamma(m / 2) / (sqrt(m / 2) gamma((m - 1) / 2)), m = s - 1 [Hedges 1981, eq. 6e].
    NaN below three seeds, for which no correction exists, and without any spread.
    """
    from scipy.special import gammaln

    n_seeds = differences.shape[0]
    if n_seeds < 3:
        return np.full(differences.shape[-1], np.nan)
    half, spread = (n_seeds - 1) / 2, seed_deviation(differences)
    correction = np.exp(gammaln(half) - gammaln(half - 0.5)) / np.sqrt(half)
    return correction * seed_means(differences).mean(axis=0) / np.where(spread > 0, spread, np.nan)


def improvement(
    first: Float[ndarray, "seed image column"], second: Float[ndarray, "seed image column"]
) -> Float[ndarray, " column"]:
    """Return the probability, 0 to 1, that a training of the first has a larger mean than one of the second.

    The share of all pairs of seeds, ties half: Mann and Whitney's statistic [Bouthillier et al. 2021, section 4; Agarwal et al.
    2021, section 4.3]. Images that are undefined in either are left out of both.
    """
    known = np.isfinite(first) & np.isfinite(second)
    one, other = (seed_means(np.where(known, values, np.nan)) for values in (first, second))
    above = np.sign(one[:, None] - other[None])
    return ((above + 1) / 2).mean(axis=(0, 1))
