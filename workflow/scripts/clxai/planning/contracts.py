"""What a method declares and what the config asks of it, held against each other before any job: baselines and completeness."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError

REFERENCES = "references"  # the option of a method that takes a set of training images: how many
COMPLETENESS_ERROR = "completeness_error"  # the number by which a method that adds up shows how well it does


def check_declaration(name: str, semantics: Mapping[str, Any]) -> None:
    """Raise ClxaiError if what a method declares cannot be: a set without its size, a claim to add up that nothing shows."""
    is_set, has_size = semantics["baseline_cardinality"] == "set", REFERENCES in semantics["options"]
    if is_set and (semantics["baseline"] is not None or not has_size):
        raise ClxaiError(
            f"method {name!r} declares baseline_cardinality 'set': it needs the option {REFERENCES!r}, how many training images, "
            f"and no baseline of its own. Got {', '.join(semantics['options']) or 'no option'}, baseline {semantics['baseline']}"
        )
    if has_size and not is_set:
        raise ClxaiError(f"method {name!r} has the option {REFERENCES!r}, which needs baseline_cardinality 'set'. Got 'single'")
    if semantics["complete"] != "none" and COMPLETENESS_ERROR not in semantics["extras"]:
        raise ClxaiError(
            f"method {name!r} declares complete {semantics['complete']!r}: it must return the extra {COMPLETENESS_ERROR!r}. "
            f"Got {', '.join(semantics['extras']) or 'none'}"
        )


def check_cardinality(semantics: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError if the config gives one image to a method that takes a set of training images, or the other way round."""
    if semantics["baseline_cardinality"] == "set" and "baseline" in given:
        raise ClxaiError(
            f"{where}.baseline: it takes a set of training images, as many as {where}.{REFERENCES} says, and no fill. "
            f"Got {given['baseline']!r}"
        )
    if semantics["baseline"] is not None and REFERENCES in given:
        raise ClxaiError(
            f"{where}.{REFERENCES}: it takes one image for each that is explained, the fill {where}.baseline, and no set of "
            f"training images. Got {given[REFERENCES]!r}"
        )
