"""Which members of the open families a job uses: their code, beside its script's, decides what reruns."""

from collections.abc import Callable, Mapping
from typing import Any

from clxai.planning.choices import chosen, heads_of

Members = list[tuple[str, str]]  # (family, name)


def _source(config: Mapping[str, Any], job: Any) -> Members:
    return [("sources", config["datasets"][job.dataset]["source"])]


def _loss(config: Mapping[str, Any], job: Any) -> Members:
    return [("losses", config["models"][job.model]["loss"])]


def _heads(config: Mapping[str, Any], job: Any) -> Members:
    return [("heads", chosen(config, "heads", name)[0]) for name in heads_of(config, job.model)]


def _method(config: Mapping[str, Any], job: Any) -> Members:
    return [("methods", chosen(config, "methods", job.method)[0])]


_OF_SCRIPT: Mapping[str, tuple[Callable[[Mapping[str, Any], Any], Members], ...]] = {
    "prepare_data": (_source,),
    "train_model": (_loss,),
    "fit_heads": (_heads,),
    "attribute": (_heads, _method),
    "flip": (_heads,),
}


def members(config: Mapping[str, Any], script: str, job: Any) -> Members:
    """Return the members that a job of a script uses; `job` has the wildcards of the rule as attributes."""
    return [member for use in _OF_SCRIPT.get(script, ()) for member in use(config, job)]
