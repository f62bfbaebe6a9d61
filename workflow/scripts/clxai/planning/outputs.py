"""What a study measures and draws."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from clxai.errors import ClxaiError, unknown_name
from clxai.measures.identities import CHECKED_METRICS
from clxai.planning.borrowing import Bank
from clxai.planning.choices import semantics_of
from clxai.planning.classes import class_pairs
from clxai.planning.drawable import (
    channels_refused,
    check_asked,
    check_scope,
    figure_options,
    figure_semantics,
    methods_drawn,
    methods_refused,
)
from clxai.planning.extents import channels_of
from clxai.planning.needed import banks_read
from clxai.planning.trust import lent_of, trust_metrics
from clxai.registry import declared


def metrics_of(config: Mapping[str, Any]) -> list[str]:
    """Return the metrics of the study, by default all that cost no forward pass.

    Those are the ones that read curves and, where methods of the study have mask banks filled that these can read, the others.

    Raises ClxaiError if one is unknown, if one is left out that the self-checks, a figure or a trust measure read, or if one
    reads masks and no set-up of the flipping can have a mask bank.
    """
    known, named = declared("metrics"), config["study"]["metrics"]
    if named is None:
        filled = _all_units(config, _set_ups_read(config))
        return [name for name in known if filled or not _reads_masks(name)]
    for name in named:
        if name not in known:
            raise ClxaiError(f"study.metrics: {unknown_name('metric', name, known)}")
        if _reads_masks(name) and not _set_ups(config):
            fills = ", ".join(config["flipping"]["fills"])
            raise ClxaiError(f"study.metrics: {name!r} reads a mask bank, and flipping.fills has none that can have one: {fills}")
    _check_read(config, named)
    return list(named)


def _check_read(config: Mapping[str, Any], named: Sequence[str]) -> None:
    """Raise ClxaiError if a metric is not among the named ones that the self-checks, a figure or a trust measure read."""
    readers = {"the self-checks": CHECKED_METRICS}
    readers |= {f"figure {name}": figure_semantics(config, name)["metrics"] for name in figures_of(config)}
    readers |= {f"trust measure {name}": needed for name, needed in trust_metrics(config).items()}
    for reader, needed in readers.items():
        missing = [name for name in needed if name not in named]
        if missing:
            raise ClxaiError(
                f"study.metrics must include {', '.join(missing)}, read by {reader}; or leave that one out of the study"
            )


def banks_measured(config: Mapping[str, Any]) -> list[Bank]:
    """Return the mask banks that metrics of the study read, of its first seed: of each of its models, units and fills.

    Metrics that are named have them all filled, but for fills that can have none; by default they take what methods have filled.
    """
    if not any(_reads_masks(name) for name in metrics_of(config)):
        return []
    return _set_ups_read(config) if config["study"]["metrics"] is None else _set_ups(config)


def banks_needed(config: Mapping[str, Any]) -> list[Bank]:
    """Return all mask banks that a study fills for its first seed, for its methods and its metrics."""
    return list(dict.fromkeys([*banks_read(config), *banks_measured(config)]))


def _reads_masks(metric: str) -> bool:
    return declared("metrics")[metric].semantics["reads"] == "masks"


def _set_ups(config: Mapping[str, Any]) -> list[Bank]:
    """Return the mask banks of what the study flips: of all models, units and fills, but for a fill that can have none."""
    study, flipping = config["study"], config["flipping"]
    fills = [name for name in flipping["fills"] if semantics_of(config, "fills", name)["needs"] != "bank"]
    places = product(study["models"], study["seeds"][:1], [study["sample"]], flipping["units"], fills)
    return [Bank(*place) for place in places]


def _set_ups_read(config: Mapping[str, Any]) -> list[Bank]:
    """Return those of what the study flips that methods of the study read."""
    read = set(banks_read(config))
    return [bank for bank in _set_ups(config) if bank in read]


def _all_units(config: Mapping[str, Any], banks: Sequence[Bank]) -> bool:
    """Say whether every model and units of the study have a bank."""
    had = {(bank.model, bank.units) for bank in banks}
    return had == set(product(config["study"]["models"], config["flipping"]["units"]))


def figures_of(config: Mapping[str, Any], per: str | None = None) -> list[str]:
    """Return the figures of the study, by default all that are declared and have what they show; those per `per` alone if asked.

    Raises ClxaiError if one is unknown, or named and without what it shows.
    """
    named, lacking = config["study"]["figures"], figures_left_out(config)
    for name in named or ():
        if name in lacking:
            raise ClxaiError(f"study.figures: {name!r} {lacking[name]}; or leave the figure out")
    named = [name for name in declared("figures") if name not in lacking] if named is None else list(named)
    return [name for name in named if per in (None, figure_semantics(config, name)["per"])]


def figures_left_out(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures that the study cannot have, of those that it names or else of all, with the reason."""
    named = config["study"]["figures"]
    names, tables = list(declared("figures")) if named is None else named, tables_left_out(config)
    return {name: reason for name in names if (reason := _lacking(config, name, tables)) is not None}


def _lacking(config: Mapping[str, Any], name: str, absent: Mapping[str, str]) -> str | None:
    """Return what the study lacks that a figure shows, and which setting helps; None if it lacks nothing.

    `absent` are the tables that the study does not have, with the reason.
    """
    semantics = figure_semantics(config, name)
    reasons = [absent[table] for table in semantics["tables"] if table in absent]
    if reasons:
        return reasons[0]
    if semantics["cross"] and not config["statistics"]["cross"]:
        return "shows explanations of one head scored by another: set statistics.cross to true"
    datasets = config["study"]["datasets"] if semantics["channels"] else ()
    refused = channels_refused(semantics, {one: channels_of(config["datasets"][one]) for one in datasets})
    if refused is not None:
        return f"{refused}: take another data set"
    if not methods_drawn(config, name):
        first = next(iter(methods_refused(config, name).values()))
        return f"can draw no method of the study ({first.lack}): name one that it accepts in study.methods"
    return None


def methods_left_out(config: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Return, for figures of the study that leave methods of the study out, these by the reason."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in figures_of(config):
        for method, reason in methods_refused(config, name).items():
            found.setdefault(name, {}).setdefault(reason.lack, []).append(method)
    return found


def check_drawable(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError if the study asks for a figure of a method that it cannot draw, as its declaration says.

    That is a method that `figures.<name>.methods` names, or, for a figure that `study.figures` names without them, any method of
    the study. A figure that the study has by default leaves such methods out.
    """
    for name in {**config["figures"], **dict.fromkeys(config["study"]["figures"] or declared("figures"))}:
        check_scope(figure_semantics(config, name), name)
        check_asked(config, name)
    figures_of(config)
    for name in config["study"]["figures"] or ():
        for method, reason in methods_refused(config, name).items():
            if not reason.is_choice:
                raise ClxaiError(
                    f"study.figures: figure {name!r} cannot draw method {method!r}; {reason.words}. "
                    f"Name in figures.{name}.methods those that it shall draw, or leave the figure out"
                )


def tables_left_out(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables that a study without what they are about does not have, with what a figure of them lacks."""
    absent = {} if lent_of(config) else {"similarity": "shows maps of randomised copies: set randomisation.methods"}
    if not class_pairs(config):
        absent["class_similarity"] = "shows maps for another class: name a wrong_class of a method that is shown"
    if not config["study"]["analyses"]:
        absent["analyses"] = "shows what analyses found: name some in study.analyses"
    asked = config["stability"]["methods"]
    return absent if asked else {**absent, "stability": "shows maps of images with noise: set stability.methods"}


def check_figure_files(config: Mapping[str, Any]) -> None:
    """Raise ClxaiError if two figures, one of them drawn for each model, would have one file."""
    files = {name: f"figure {name!r}" for name in figures_of(config, "study")}
    for name in figures_of(config, "model"):
        for model in config["study"]["models"]:
            what, file = f"figure {name!r} of model {model!r}", f"{name}_{model}"
            if file in files:
                raise ClxaiError(f"study.figures: {files[file]} and {what} would both be {file}.svg; rename one in figures")
            files[file] = what


def scope_of(semantics: Mapping[str, Any]) -> str:
    """Return what a figure is about, in words: single images, or what it is aggregated over and by whom."""
    if semantics["produces"] == "local":
        return "single images"
    over = " and ".join(f"{axis}s" for axis in semantics["over"])
    return f"aggregated over {over}{' by the method itself' if semantics['scope_defined_by'] == 'explainer' else ''}"


def caption_of(config: Mapping[str, Any], name: str, model: str | None) -> str:
    """Return the first paragraph of a figure's docstring, with the study's facts filled in, and what the figure is about."""
    facts = {
        "fill": config["flipping"]["fills"][0],
        "margin": config["statistics"]["margin"],
        "n_seeds": len(config["study"]["seeds"]),
        "model": model,
    }
    text = declared("figures")[figure_options(config, name)[0]].text
    for key, value in facts.items():
        text = text.replace(f"{{{key}}}", str(value))
    return f"{text} Scope: {scope_of(figure_semantics(config, name))}."
