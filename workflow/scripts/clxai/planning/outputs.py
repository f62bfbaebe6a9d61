"""What a study measures."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.measures.identities import CHECKED_METRICS
from clxai.registry import declared


def metrics_of(config: Mapping[str, Any]) -> list[str]:
    """Return the metrics of the study, all that are declared by default.

    Raises ClxaiError if one is unknown, or if one is left out that the self-checks read.
    """
    known, named = list(declared("metrics")), config["study"]["metrics"]
    if named is None:
        return known
    for name in named:
        if name not in known:
            raise ClxaiError(f"study.metrics: {unknown_name('metric', name, known)}")
    missing = [name for name in CHECKED_METRICS if name not in named]
    if missing:
        raise ClxaiError(f"study.metrics must include {', '.join(missing)}: the self-checks read them")
    return list(named)
