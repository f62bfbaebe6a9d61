"""Sentences on differences of SRG between models."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clxai.names import ALL
from clxai.verdict.differences import MAIN, ROUTES, pair_of
from clxai.verdict.phrasing import UNDEFINED, each, few, interval, intervals, number, p_value, size, size_within, versions
from clxai.verdict.records import Evidence, Statement

_BRIEF = (ROUTES[MAIN], ROUTES["srg_kept"])  # the routes that a sentence on an open difference shows
_SURE = ("higher", "lower", "equivalent", "noninferior")
_COUNTED = {
    "contradiction": "contradictory between the routes",
    "undefined": UNDEFINED,
    "route_missing": "not measured on all routes",
}


def _what(about: Mapping[str, Any]) -> str:
    over = [word for word, name in (("methods", about["method"]), ("heads", about["head"])) if name == ALL]
    of = [f"`{about[name]}`" for name in ("method", "head") if about[name] != ALL]
    parts = [f"mean over {' and '.join(over)}"] if over else []
    parts += [f"of {', '.join(of)}"] if of else []
    quantity = "SRG" if about["quantity"] == "value" else f"{about['quantity']} of SRG"
    return f"{quantity} ({', '.join([*parts, 'units ' + about['units'], 'fill ' + about['fill']])})"


def _standing(statement: Statement) -> str:
    family = "confirmatory" if statement.about["confirmatory"] else "exploratory"
    joined = statement.about.get("joined", [statement.about])
    tested = " / ".join(dict.fromkeys(p_value(one["p_holm"]) for about in joined for one in about.get("versions", [about])))
    return f"{family}, Holm p {tested}{size_within(statement)}"


def _brief(numbers: Sequence[Evidence]) -> str:
    """Return the numbers of the two routes that matter most, of any that excludes 0, and of any that is undefined."""
    return intervals(one for one in numbers if one.label in _BRIEF or one.side or not one.defined)


def _difference(claim: str) -> Callable[[Statement], str]:
    def word(statement: Statement) -> str:
        about = statement.about
        numbers = intervals(statement.evidence) if statement.claim in _SURE else _brief(statement.evidence)
        text = f"{claim.format(what=_what(about), **about)}: {numbers} ({_standing(statement)})"
        small = statement.claim in ("higher", "lower") and about["within"]
        small_text = f"; the difference is smaller than the margin of {about['margin']:g}" if small else ""
        return f"{few(statement) if statement.claim in _SURE else ''}{text}{small_text}."

    return word


def _open(claim: str) -> Callable[[Statement], str]:
    """Return the wording for one pair or for several that share an open claim."""

    def word(statement: Statement) -> str:
        numbers = {name: statement.numbers_of(name) for name in statement.names} or {pair_of(statement): statement.evidence}
        pairs = ", ".join(f"{name} ({_brief(own)})" for name, own in numbers.items())
        text = claim.format(what=_what(statement.about), **statement.about)
        return f"{text}: {pairs} ({_standing(statement)})."

    return word


def _over_setups(statement: Statement) -> str:
    joined = statement.about.get("joined", [statement.about])
    names = statement.names or (pair_of(statement),)
    parts = []
    for name, about in zip(names, joined, strict=True):
        ends = statement.numbers_of(name) if statement.names else statement.evidence
        span = f" (from {' to '.join(map(interval, ends))})" if len(ends) == 2 else f" ({intervals(ends)})" if ends else ""
        parts.append(f"{name} {_counts(about)}{span}")
    short = ", with too few trainings for a claim about recipes" if statement.about["few"] else ""
    return f"Over {statement.about['n']} set-ups (units, fill), mean SRG is: {'; '.join(parts)}{short}."


def _counts(about: Mapping[str, Any]) -> str:
    """Return in how many set-ups each claim holds, of each run where they differ."""
    found = [version["counts"] for version in about.get("versions", [about])]
    claims = dict.fromkeys(claim for counts in found for claim in counts)
    shares = {claim: " / ".join(dict.fromkeys(str(counts.get(claim, 0)) for counts in found)) for claim in claims}
    return ", ".join(f"{_COUNTED.get(claim, claim)} in {share}" for claim, share in shares.items())


def _needed(statement: Statement) -> str:
    def seeds(version: Mapping[str, Any], name: str) -> str:
        needed = version["seeds"][name]
        if version["n_seeds"] == 1:
            return "an unknown number of"
        return str(needed) if needed is not None else "no number of"

    parts = []
    for name in statement.names:
        shown = " / ".join(dict.fromkeys(number(one.value) for one in statement.numbers_of(name)))
        wanted = " / ".join(dict.fromkeys(seeds(version, name) for version in versions(statement)))
        parts.append(f"{wanted} seeds for {name} ({statement.about['n_seeds']} show {shown})")
    told = ", ".join(parts) or "not the same pairs in any two runs"
    return f"What a difference of {statement.about['margin']:g} would take with these images, with a power of 80 %: {told}."


SENTENCES: Mapping[str, Callable[[Statement], str]] = {
    "higher": _difference("{what} is higher for `{model}` than for `{minus}` on every route"),
    "lower": _difference("{what} is lower for `{model}` than for `{minus}` on every route"),
    "equivalent": _difference(
        "{what} differs between `{model}` and `{minus}` by less than the margin of {margin:g} on every route"
    ),
    "contradiction": _open("The routes contradict each other, so that nothing is concluded; {what} differs on some alone for"),
    "undecided": _open("{what} is shown neither to differ nor to be equivalent within {margin:g} for"),
    "undefined": _open("{what} is undefined on some route, so that nothing can be said, for"),
    "route_missing": _open("{what} was not compared on all routes, so that nothing is claimed, for"),
    "noninferior": _difference(
        "{what} is not worse for `{model}` than for `{minus}` by the margin of {margin:g}, on every route"
    ),
    "noninferiority_open": _difference(
        "{what} could be worse for `{model}` than for `{minus}` by the margin of {margin:g} or more"
    ),
    "over_setups": _over_setups,
    "needed": _needed,
    "single": lambda one: (
        f"Single methods, mean over heads, that differ in every set-up and on every route: {each(one)}{size(one)}."
    ),
    "single_none": lambda one: (
        "No difference of a single method, mean over heads, is shown by a corrected test in every set-up and on every route."
    ),
    "no_pair": lambda one: "No two models were compared.",
}
