"""The contrasts that a study declares before it runs."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.names import ALL
from clxai.planning.choices import contrasts_of, controls_of, heads_of
from clxai.planning.outputs import metrics_of
from clxai.registry import declared

_CHOSEN = {"quantity": "value", "metric": "srg_matched", "method": ALL, "head": ALL}  # where an entry does not say


def confirmatory_of(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the declared contrasts, each as what names its row of contrasts.csv.

    What an entry does not say: the value of srg_matched, the mean over methods and over heads, the first units and fill.

    Raises ClxaiError unless each is a row that the study will have, named once.
    """
    rows: list[dict[str, str]] = []
    for place, entry in enumerate(config["statistics"]["confirmatory"]):
        where = f"statistics.confirmatory.{place}"
        _check_pair(config, entry, where)
        row = {**_CHOSEN, "units": config["flipping"]["units"][0], "fill": config["flipping"]["fills"][0], **entry}
        for key, allowed in _allowed(config, row).items():
            if row[key] not in allowed:
                raise ClxaiError(f"{where}.{key}: {unknown_name(f'{key} of this contrast', row[key], allowed)}")
        if row in rows:
            raise ClxaiError(f"{where}: each contrast must be named once. Got {entry} again")
        rows.append(row)
    return rows


def _check_pair(config: Mapping[str, Any], entry: Mapping[str, str], where: str) -> None:
    pair, models = [entry["model"], entry["minus"]], config["study"]["models"]
    for name in pair:
        if name not in models:
            raise ClxaiError(f"{where}: {unknown_name('model of the study', name, models)}")
    if pair not in contrasts_of(config):
        raise ClxaiError(f"{where}: {pair} must be one of study.contrasts {contrasts_of(config)}; add it, or leave those to null")


def _allowed(config: Mapping[str, Any], row: Mapping[str, str]) -> Mapping[str, list[str]]:
    """Return what each key of a declared contrast may be."""
    known, controls = declared("metrics"), controls_of(config)
    methods = [name for name in config["study"]["methods"] if name not in controls]
    first, second = (heads_of(config, row[key]) for key in ("model", "minus"))
    heads = [name for name in first if name in second]
    return {
        "metric": [name for name in metrics_of(config) if "contrasts" in known[name].semantics["tables"]],
        "method": [ALL, *methods] if methods else [],
        "head": [ALL, *heads] if heads else [],
        "units": config["flipping"]["units"],
        "fill": config["flipping"]["fills"],
    }
