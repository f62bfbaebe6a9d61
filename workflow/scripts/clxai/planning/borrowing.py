"""Whose maps a method borrows, which method it runs, which mask bank it reads: what the options of a method mean for one job.

A method that declares `borrows="maps"` may have the options `of` (a method of the config, by any name), `model`, `seed`
and `sample`, all the job's own unless they are given, and `head_if_absent`; one that declares `borrows="method"` has `of` alone.
One that borrows of the model that its own starts from (`start`) is not one of models that start from none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from clxai.errors import ClxaiError, unknown_name
from clxai.planning.choices import chosen, heads_of, reads_masks, semantics_of

START, NEXT = "start", "next"  # the model that this one starts from; the seed that follows


class Bank(NamedTuple):
    """The mask bank that one job fills, of any data set."""

    model: str
    seed: int
    sample: str
    units: str
    fill: str


class Maps(NamedTuple):
    """The maps that one job computes, of any data set."""

    model: str
    seed: int
    sample: str
    method: str


def borrowed_maps(config: Mapping[str, Any], job: Any) -> Maps | None:
    """Return the maps that the method of a job borrows; None if it borrows none. `job` has the fields of `Maps`.

    Raises ClxaiError on an unknown model or sample, where the study has no next seed, and where the model has no start.
    """
    options = chosen(config, "methods", job.method)[1]
    if semantics_of(config, "methods", job.method)["borrows"] != "maps":
        return None
    where = f"methods.{job.method}"
    return Maps(
        _model(config, options.get("model"), job.model, f"{where}.model"),
        _seed(config, options.get("seed", "own"), int(job.seed), f"{where}.seed"),
        _sample(config, options.get("sample"), job.sample, f"{where}.sample"),
        options["of"],
    )


def has_lender(config: Mapping[str, Any], job: Maps) -> bool:
    """Say whether the model of a job has whom its method borrows of: not where that is its start, and it has none."""
    options = chosen(config, "methods", job.method)[1]
    given = options.get("model") if semantics_of(config, "methods", job.method)["borrows"] == "maps" else None
    meant = given.get(job.model) if isinstance(given, Mapping) else given
    return meant != START or config["models"][job.model]["start"] is not None


def method_run(config: Mapping[str, Any], name: str) -> str | None:
    """Return the method that a method runs in another way, as the config names it; None if it runs none.

    Raises ClxaiError if that method needs maps itself: they would be those of this run, not of the other way.
    """
    if semantics_of(config, "methods", name)["borrows"] != "method":
        return None
    of = chosen(config, "methods", name)[1]["of"]
    semantics = semantics_of(config, "methods", of, f"methods.{name}.of")
    if semantics["borrows"] != "nothing" or semantics["needs"]:
        raise ClxaiError(f"methods.{name}.of must name a method that needs no other maps and runs no other method. Got {of!r}")
    return of


def bank_read(config: Mapping[str, Any], job: Any) -> Bank | None:
    """Return the mask bank that the method of a job reads, or the method that it runs; None if neither reads one."""
    for name in (job.method, method_run(config, job.method)):
        if name is not None and reads_masks(chosen(config, "methods", name)[0]):
            options = chosen(config, "methods", name)[1]
            return Bank(job.model, int(job.seed), job.sample, options["units"], options["fill"])
    return None


def check_borrowed_heads(config: Mapping[str, Any], job: Maps) -> None:
    """Raise ClxaiError unless the model whose maps are borrowed has each head of the borrowing one, or the one instead."""
    lent = borrowed_maps(config, job)
    if lent is None or lent.model == job.model:
        return
    own, there = heads_of(config, job.model), heads_of(config, lent.model)
    instead = chosen(config, "methods", job.method)[1]["head_if_absent"]
    absent = [name for name in own if name not in there]
    if absent and instead not in there:
        raise ClxaiError(
            f"methods.{job.method}.head_if_absent: models.{lent.model} has no head {absent[0]!r} of models.{job.model}, "
            f"nor {instead!r} instead. Name one of {', '.join(there) or 'none: study.heads leaves it without'}"
        )


def _model(config: Mapping[str, Any], given: Any, own: str, where: str) -> str:
    """Return the model that is meant: a name, `start`, the first of a list that is another, or what a mapping says of the own."""
    if isinstance(given, Mapping):
        if own not in given:
            raise ClxaiError(f"{where} says nothing of model {own!r}. Known: {', '.join(given)}")
        given = given[own]
    names = given if isinstance(given, list) else [given]
    for name in names:
        if name not in (None, START, *config["models"]):
            raise ClxaiError(f"{where}: {unknown_name('model', str(name), [*config['models'], START])}")
    if given is None:
        return own
    if given == START:
        start = config["models"][own]["start"]
        if start is None:
            raise ClxaiError(f"{where}: {START} is for models that have one, and models.{own}.start is null")
        return start
    others = [name for name in names if name != own]
    if isinstance(given, list) and not others:
        raise ClxaiError(f"{where} must name a model other than {own!r}. Got {given}")
    return others[0] if isinstance(given, list) else given


def _seed(config: Mapping[str, Any], given: str, own: int, where: str) -> int:
    """Return the own seed, or the next of the study, the first after the last."""
    seeds = config["study"]["seeds"]
    if given == "own":
        return own
    if given != NEXT:
        raise ClxaiError(f"{where}: {unknown_name('value', given, ['own', NEXT])}")
    if len(seeds) < 2 or own not in seeds:
        raise ClxaiError(f"{where}: {NEXT} needs a study of at least two seeds, seed {own} among them. study.seeds: {seeds}")
    return seeds[(seeds.index(own) + 1) % len(seeds)]


def _sample(config: Mapping[str, Any], given: str | None, own: str, where: str) -> str:
    """Return the own sample or the named one."""
    if given is not None and given not in config["samples"]:
        raise ClxaiError(f"{where}: {unknown_name('sample', str(given), config['samples'])} Add it to samples")
    return own if given is None else given
