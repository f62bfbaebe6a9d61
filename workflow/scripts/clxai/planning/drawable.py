"""What a figure can draw: what it declares that it accepts, against what the methods and the images of a study are.

A figure of the config may name the methods that it shall draw, `figures.<name>.methods`; by default it draws those of the study.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from clxai.errors import ClxaiError, unknown_name
from clxai.planning.choices import chosen, semantics_of
from clxai.registry import declared

# By keyword of a figure: what it is called of a method. A figure that names none of a keyword accepts all.
ACCEPTS: Mapping[str, str] = {
    "payloads": "payload",
    "scopes": "scope",
    "alignments": "alignment",
    "families": "families",
    "signs": "sign",
    "extras": "extra numbers",
}
_OF_METHODS = {  # tables and arrays that figures read
    *("images", "summary", "curves", "contrasts", "variance", "maps", "similarity", "stability", "metric_ranks"),
    "attributions",
}
_CHOICE = "extras"  # of this a figure shows what there is: a method without is not among those that it is about


class Refusal(NamedTuple):
    """Why a figure cannot draw a method: the keyword, what the method has of it, what the figure accepts."""

    keyword: str
    found: tuple[str, ...]
    accepted: tuple[str, ...]

    @property
    def words(self) -> str:
        """The dimension, what was found, and what is allowed."""
        found, accepted = (", ".join(sorted(names)) or "none" for names in (self.found, self.accepted))
        return f"its {ACCEPTS[self.keyword]}: {found}; accepted: {accepted}"

    @property
    def lack(self) -> str:
        """What is allowed, for several methods at once."""
        return f"accepted {ACCEPTS[self.keyword]}: {', '.join(sorted(self.accepted))}"

    @property
    def is_choice(self) -> bool:
        """Whether the figure is about other methods, rather than unable to draw this one."""
        return self.keyword == _CHOICE


def figure_semantics(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what the figure behind a name of the config declares."""
    return declared("figures")[figure_options(config, name)[0]].semantics


def figure_options(config: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Return the figure behind a name of the config and its options, but for `methods`, which any figure has.

    Raises ClxaiError if `method` or `head` among them is none that it can show.
    """
    own = {one: {key: given[key] for key in given or () if key != "methods"} for one, given in config["figures"].items()}
    member, options = chosen({**config, "figures": own}, "figures", name, "study.figures")
    for key, known in (("method", methods_asked(config, name)), ("head", config["study"]["heads"])):
        if options.get(key) not in (None, *known):
            raise ClxaiError(f"figures.{name}.{key}: {unknown_name(f'{key} of the study', options[key], known)}")
    return member, options


def traits_of(config: Mapping[str, Any], method: str) -> dict[str, tuple[str, ...]]:
    """Return what the maps of a method of the config are, by the keyword of figures that asks for it."""
    own, like = semantics_of(config, "methods", method), _like(config, method)
    made, options = semantics_of(config, "methods", like), chosen(config, "methods", like)[1]
    signed = bool(options["signed"]) if made["borrows"] == "file" else made["signed"]
    return {
        "payloads": (own["payload"],),
        "scopes": (own["scope"],),
        "alignments": (made["aligned_to"],),
        "families": tuple(own["families"]),
        "signs": ("signed" if signed else "unsigned",),
        "extras": tuple(own["extras"]),
    }


def _like(config: Mapping[str, Any], method: str) -> str:
    """Return the method whose sign and alignment the maps of a method have: the one that they are made of, or itself."""
    while semantics_of(config, "methods", method)["borrows"] in ("maps", "method"):
        method = chosen(config, "methods", method)[1]["of"]
    return method


def refusal(accepts: Mapping[str, Collection[str]], has: Mapping[str, Collection[str]]) -> Refusal | None:
    """Return the first reason why a figure that accepts this cannot draw a method that has that; None if it can.

    A keyword is met if what the figure accepts and what the method has have a word in common, or if the figure names none.
    """
    for keyword in ACCEPTS:
        accepted, found = accepts[keyword], has[keyword]
        if accepted and not {*accepted} & {*found}:
            return Refusal(keyword, tuple(found), tuple(accepted))
    return None


def channels_refused(accepts: Mapping[str, Any], known: Mapping[str, int | None]) -> str | None:
    """Return why a figure cannot draw the images of data sets, of which the channels are known or None; None if it can."""
    for dataset, channels in known.items():
        if accepts["channels"] and channels is not None and channels not in accepts["channels"]:
            allowed = ", ".join(map(str, sorted(accepts["channels"])))
            return f"cannot draw the images of {dataset!r}: their channels: {channels}; accepted: {allowed}"
    return None


def methods_drawn(config: Mapping[str, Any], name: str) -> list[str]:
    """Return the methods of the study that a figure draws, in the order of the study."""
    refused = methods_refused(config, name)
    return [method for method in methods_asked(config, name) if method not in refused]


def methods_asked(config: Mapping[str, Any], name: str) -> list[str]:
    """Return the methods that `figures.<name>.methods` asks for, in the order of the study; by default all of the study."""
    asked = (config["figures"].get(name) or {}).get("methods")
    return [method for method in config["study"]["methods"] if asked is None or method in asked]


def methods_refused(config: Mapping[str, Any], name: str) -> dict[str, Refusal]:
    """Return the methods, of those that a figure is asked to draw, that it cannot draw, with the reason.

    None for a figure that reads what holds no methods.
    """
    accepts = figure_semantics(config, name)
    if (accepts["tables"] or accepts["arrays"]) and not _draws_methods(accepts):
        return {}
    reasons = {method: refusal(accepts, traits_of(config, method)) for method in methods_asked(config, name)}
    return {method: reason for method, reason in reasons.items() if reason is not None}


def check_asked(config: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError unless the methods that a figure is asked to draw are of the study, and it can draw each."""
    asked, where = (config["figures"].get(name) or {}).get("methods"), f"figures.{name}.methods"
    if asked is None:
        return
    if not isinstance(asked, list) or not asked:
        raise ClxaiError(f"{where} must be a list of methods of the study, at least one. Got {asked!r}")
    for method in asked:
        if method not in config["study"]["methods"]:
            raise ClxaiError(f"{where}: {unknown_name('method of the study', method, config['study']['methods'])}")
    if not _draws_methods(figure_semantics(config, name)):
        raise ClxaiError(f"{where}: this figure shows no single methods, none can be chosen. Got {asked}")
    for method, reason in methods_refused(config, name).items():
        raise ClxaiError(f"{where}: figure {name!r} cannot draw method {method!r}; {reason.words}")


def _draws_methods(semantics: Mapping[str, Any]) -> bool:
    """Say whether what a figure reads holds methods."""
    return bool(_OF_METHODS & {*semantics["tables"], *semantics["arrays"]})


def check_scope(semantics: Mapping[str, Any], name: str) -> None:
    """Raise ClxaiError if a figure declares both that it shows single images and that it is taken over many, or neither."""
    local = semantics["produces"] == "local"
    if local == bool(semantics["over"]) or (local and semantics["scope_defined_by"] != "explainer"):
        found = (semantics["produces"], semantics["scope_defined_by"], f"over {', '.join(semantics['over']) or 'none'}")
        raise ClxaiError(
            f'figure {name!r} must declare produces="local", scope_defined_by="explainer" and no `over`, or '
            f'produces="aggregated" and the axes that it is taken over. Got {", ".join(found)}'
        )
