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

    What an entry does not say: the value of srg_matched, the mean over methods and over heads, the first units and fill. Those
    of models that the study leaves out are no rows, see `not_tested`.

    Raises ClxaiError unless each is a row that the study will have, named once.
    """
    rows: list[dict[str, str]] = []
    for place, entry in enumerate(config["statistics"]["confirmatory"]):
        where = f"statistics.confirmatory.{place}"
        if not _is_of_study(config, entry, where):
            continue
        _check_pair(config, entry, where)
        row = {**_CHOSEN, "units": config["flipping"]["units"][0], "fill": config["flipping"]["fills"][0], **entry}
        for key, allowed in _allowed(config, row).items():
            if row[key] not in allowed:
                raise ClxaiError(f"{where}.{key}: {unknown_name(f'{key} of this contrast', row[key], allowed)}")
        if row in rows:
            raise ClxaiError(f"{where}: each contrast must be named once. Got {entry} again")
        rows.append(row)
    return rows


def not_tested(config: Mapping[str, Any]) -> list[list[str]]:
    """Return the declared pairs that the study cannot test, since it leaves out one of their models; the verdict names them."""
    entries = config["statistics"]["confirmatory"]
    return [[entry["model"], entry["minus"]] for entry in entries if not _is_of_study(config, entry, "statistics.confirmatory")]


def _is_of_study(config: Mapping[str, Any], entry: Mapping[str, str], where: str) -> bool:
    """Return whether both models are the study's. Raises ClxaiError if one is no model at all."""
    pair = [entry["model"], entry["minus"]]
    for name in pair:
        if name not in config["models"]:
            raise ClxaiError(f"{where}: {unknown_name('model', name, config['models'])}")
    return all(name in config["study"]["models"] for name in pair)


def _check_pair(config: Mapping[str, Any], entry: Mapping[str, str], where: str) -> None:
    pair = [entry["model"], entry["minus"]]
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
