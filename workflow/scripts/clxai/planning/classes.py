"""Which methods of a study are also run for another class, so that their maps for two classes can be compared."""

from collections.abc import Mapping
from typing import Any

from clxai.planning.borrowing import method_run
from clxai.planning.choices import chosen
from clxai.planning.needed import methods_of

OTHER_CLASS = "wrong_class"  # the member that runs a method for another class


def class_pairs(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return by model each method of the study and the first that runs it for another class (`other`), where both are shown."""
    found: dict[tuple[str, str], str] = {}
    for model in config["study"]["models"]:
        shown = methods_of(config, model)
        for name in shown:
            of = method_run(config, name) if chosen(config, "methods", name)[0] == OTHER_CLASS else None
            if of in shown:
                found.setdefault((model, of), name)
    return [{"model": model, "method": of, "other": other} for (model, of), other in found.items()]
