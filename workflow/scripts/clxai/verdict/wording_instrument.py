"""Sentences on methods, controls and the instrument itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from clxai.verdict.phrasing import UNDEFINED, each, fact, interval, intervals, listed, number, share, size, versions
from clxai.verdict.records import Statement

_ABOVE_CONTROL = "has an interval above 0 in every cell (model, head, units, fill)"


def fixed(text: str) -> Callable[[Statement], str]:
    """Return the wording of a text with the statement's facts and names put in."""
    return lambda statement: text.format(**statement.about, names=listed(statement.names))


def _order(statement: Statement) -> str:
    about, names = statement.about, statement.names
    order = " > ".join(f"`{name}` {' / '.join(number(one.value) for one in statement.numbers_of(name))}" for name in names)
    shared = min(version["shared"] for version in versions(statement))
    if about["n_metrics"] < 2:
        kept = "kept predictions were not measured"
    elif shared == len(names):
        kept = "kept predictions give the same order"
    else:
        kept = f"kept predictions share the first {shared} places" if shared else "kept predictions name another first"
    fills = [one["fill"] for one in about.get("joined", [about])]
    several = f"fills {', '.join(fills)} (numbers in this order)"
    where = f"With units {about['units']} and {f'fill {fills[0]}' if len(fills) == 1 else several}"
    return f"{where}, the order by mean SRG over models and heads is {order}; {kept}; gaps between neighbours were not tested."


def _control_pair(statement: Statement) -> str:
    """Return each name with the share of its cells, and its worst cell against the other map of that cell."""
    parts = []
    for name in statement.names:
        numbers = statement.numbers_of(name)
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        worst = ", ".join(
            f"{interval(replace(own, label=''))} against {interval(replace(other, run=''))}" for own, other in pairs
        )
        parts.append(f"`{name}` ({share(statement, name)} cells; at worst {worst})")
    return ", ".join(parts)


def _places(statement: Statement) -> str:
    own, other = (", ".join(map(str, statement.about[side])) for side in ("own", "other"))
    return f"place {own} where the fill is its baseline ({statement.about['baseline']}), {other} elsewhere"


def _checks_warn(statement: Statement) -> str:
    worst = ", ".join(f"{name}, first {_numbers_of(statement, name)}" for name in statement.names)
    return f"{statement.about['n_bad']} of {statement.about['n']} self-checks warn, and what rests on them is in doubt: {worst}."


def _numbers_of(statement: Statement, name: str) -> str:
    return ", ".join(interval(one, 4) for one in statement.numbers_of(name))


def _accuracy(statement: Statement) -> str:
    worst = min(statement.evidence, key=lambda one: one.value)
    where = "{model}, seed {seed}, {head}".format(**statement.about)
    return (
        f"Every head of every model and seed classifies at least {100 * worst.value:.1f} % of the test images (least: {where})."
    )


def _random_holds(statement: Statement) -> str:
    about = statement.about
    lost = f", {about['n_undefined']} of them {UNDEFINED}" if about["n_undefined"] else ""
    shares = " / ".join(f"{version['n_holds']} of {version['n']}" for version in versions(statement))
    far = f"; the mean farthest from 0 is {intervals(statement.evidence)}{size(statement)}" if statement.evidence else ""
    return f"The interval of the random attribution holds 0 in {shares} cells (model, head, metric, units, fill){lost}{far}."


def _variance(statement: Statement) -> str:
    parts = ", ".join(f"{number(100 * one.value, 0)} % {one.run} {one.label}".replace("  ", " ") for one in statement.evidence)
    return f"The variance of one value of SRG belongs to: {parts} (mean over {statement.about['n']} models, heads and methods)."


def _leader_same(statement: Statement) -> str:
    whole = ", and the whole order is the same" if statement.about["same_order"] else ""
    return f"`{statement.names[0]}` comes first in all {statement.about['n']} set-ups (units, fill){whole}."


def _control_beats(statement: Statement) -> str:
    cells = "in some cells (model, head, units, fill)"
    pairs = f"{_control_pair(statement)}{size(statement)}"
    return f"Methods that do no better than the best map that explains nothing, {cells}: {pairs}."


def _oracle_beaten(statement: Statement) -> str:
    beaten = f"in some cells (model, head, units, fill) maps score as high as `{statement.about['oracle']}` or are {UNDEFINED}"
    return f"The instrument failed on the known truth: {beaten}: {_control_pair(statement)}{size(statement)}."


def _beyond_control(statement: Statement) -> str:
    least = f"each with the cell that shows it least: {each(statement)}{size(statement)}"
    return f"Methods whose excess over the best control {_ABOVE_CONTROL}, {least}."


def _closest_control(statement: Statement) -> str:
    best = f"`{statement.names[0]}`, the best in {fact(statement, 'share')} cells"
    highest = f"its highest mean SRG is {intervals(statement.evidence)}{size(statement)}"
    return f"The control that comes closest to the methods is {best}; {highest}."


SENTENCES: Mapping[str, Callable[[Statement], str]] = {
    "order": _order,
    "order_undefined": fixed("With units {units} and fill {fill}, the order of the methods is undefined: a mean is missing."),
    "leader_same": _leader_same,
    "leader_changes": lambda one: f"Which method comes first depends on the set-up (units, fill): {each(one, shares=True)}.",
    "baseline_decides": lambda one: f"`{one.names[0]}` wins where its baseline is the fill: {_places(one)}.",
    "baseline_mixed": lambda one: f"`{one.names[0]}` does not stand higher wherever its baseline is the fill: {_places(one)}.",
    "baseline_confounded": fixed(
        "{names} comes first, and the only fill is its own baseline ({baseline}): whether it owes its place to that is open."
    ),
    # controls
    "no_control": fixed("No control besides random was run: whether a map that never saw the network scores as well is open."),
    "control_beats": _control_beats,
    "control_beats_none": fixed("No control reaches the mean SRG of {names} in any cell (model, head, units, fill)."),
    "beyond_control": _beyond_control,
    "beyond_control_none": fixed(f"For no method the excess over the best control {_ABOVE_CONTROL}."),
    "closest_control": _closest_control,
    # the instrument
    "checks_pass": fixed("All {n} self-checks passed."),
    "checks_warn": _checks_warn,
    "no_checks": fixed("No self-checks are at hand."),
    "accuracy": _accuracy,
    "accuracy_undefined": fixed("The accuracy of some head is undefined."),
    "random_holds": _random_holds,
    "temperature": lambda one: (
        "Between the ends of the temperatures' 95 % intervals no mean of matched SRG moves by more than "
        f"{intervals(one.evidence)}."
    ),
    "no_oracle": fixed("The truth is not known for these images: whether the test ranks it first cannot be said."),
    "oracle_wins": fixed(
        "The known truth (`{oracle}`) scores above every method and every map that is blind to the network in all {n} cells."
    ),
    "oracle_beaten": _oracle_beaten,
    "variance": _variance,
    "variance_undefined": fixed("How much of the variance belongs to trainings and to images is undefined."),
}
