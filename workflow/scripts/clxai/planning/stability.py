"""Which methods have their stability measured, and which cannot."""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError
from clxai.planning.choices import semantics_of


def check_stability(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError unless each method of `stability.methods` is one of the study whose maps are made of the image alone."""
    shown = config["study"]["methods"]
    for name in config["stability"]["methods"]:
        if name not in shown:
            raise ClxaiError(
                f"stability.methods: {name!r} must be one of study.methods, so that its SRG stands beside: {', '.join(shown)}"
            )
        semantics = semantics_of(config, "methods", name)
        made_of = {
            "other maps": semantics["borrows"] != "nothing" or bool(semantics["needs"]),
            "a mask bank": semantics["reads_masks"] != "nothing",
            "what trained explainers say": semantics["learns"],
        }
        for what, made in made_of.items():
            if made:
                raise ClxaiError(f"stability.methods: {name!r} is made of {what}, and none is kept for images with noise")
