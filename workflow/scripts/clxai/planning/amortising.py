"""What a method learns from: the explainers that a job asks, the mask banks that these are trained on, and what can be learnt."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from clxai.amortising.recipes import check_recipe
from clxai.errors import ClxaiError, unknown_name
from clxai.planning.borrowing import Bank, Maps, method_run
from clxai.planning.choices import chosen, learns

# Options that say what is learnt from and how many explainers there are, not how one is trained: the files that it reads tell.
NO_RECIPE = ("units", "fill", "sample", "validation", "explainers", "teachers", "duplicates", "faithful")


class Explainer(NamedTuple):
    """The explainer that one job trains, of any data set; `explainer` is its number among those of its recipe."""

    model: str
    seed: int
    method: str
    explainer: int


def learner(config: Mapping[str, Any], name: str) -> str | None:
    """Return the method whose explainers a method asks, itself or the one that it runs in another way; None if neither learns."""
    names = (name, method_run(config, name))
    return next((one for one in names if one is not None and learns(chosen(config, "methods", one)[0])), None)


def explainers_asked(config: Mapping[str, Any], job: Any) -> list[Explainer]:
    """Return the explainers that the method of a job asks; none for most methods. `job` has the fields of `Maps`."""
    name = learner(config, job.method)
    if name is None:
        return []
    count = chosen(config, "methods", name)[1]["explainers"]
    return [Explainer(job.model, int(job.seed), name, number) for number in range(count)]


def banks_learnt(config: Mapping[str, Any], job: Any) -> list[Bank]:
    """Return the mask banks of training and of validation images that the explainers of a job are trained on; none for most."""
    name = learner(config, job.method)
    if name is None:
        return []
    options = chosen(config, "methods", name)[1]
    return [
        Bank(job.model, int(job.seed), options[sample], options["units"], options["fill"]) for sample in ("sample", "validation")
    ]


def teachers_of(config: Mapping[str, Any], job: Any) -> list[Maps]:
    """Return the maps of training images that the explainers of a job are shown, in the order of the config; none for most."""
    name = learner(config, job.method)
    if name is None:
        return []
    options = chosen(config, "methods", name)[1]
    return [Maps(job.model, int(job.seed), options["sample"], teacher) for teacher in options["teachers"]]


def check_learning(config: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError unless the explainers of a method can be trained: on samples of the right splits."""
    options, where = chosen(config, "methods", name)[1], f"methods.{name}"
    for key, split in (("sample", "train"), ("validation", "val")):
        sample = options[key]
        if sample not in config["samples"]:
            known = unknown_name("sample", str(sample), config["samples"])
            raise ClxaiError(f"{where}.{key}: {known} Add it to samples, with split {split}")
        found = config["samples"][sample]["split"]
        if found != split:
            raise ClxaiError(f"{where}.{key} must be a sample of split {split}. Got {sample!r} of {found}")
    check_recipe(options, where, bool(options["teachers"]))
