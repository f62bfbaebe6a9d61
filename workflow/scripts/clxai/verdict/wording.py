"""One English sentence for each statement, with its numbers: no sentence hides a number that is not defined."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from clxai.names import ALL
from clxai.verdict.records import Evidence, Statement

DIGITS = 2  # of differences and means
UNDEFINED = "undefined"
QUESTION = (
    "Do contrastively trained networks make pixel flipping a trustworthy test of explanations, without the extra augmentation or "
    "fine-tuning that cross-entropy networks need?"
)
REASONS = {
    "oracle_beaten": "the instrument failed where the truth is known",
    "checks": "not all self-checks passed",
    "no_pair": "no contrastive model stands beside one that is not",
    "unmeasured": "the agreement of plain flipping with references that were trained on perturbed images was not measured",
    "undefined": "the agreement with the references is undefined",
    "undecided": "the agreement with the references does not differ in the same direction with intervals that exclude 0",
    "few_seeds": "fewer than five trainings carry no claim about recipes",
}
MEASURES = {
    "agreement": "agreement of the order of methods across set-ups",
    "replication": "replication of the order of methods in other seeds and images",
    "reliability": "reliability over images",
    "degradation": "recovery of the known order of degraded maps",
    "concordance": "concordance of set-ups, Kendall's W",
    "generalisability": "generalisability of the order of methods to other seeds and images",
    "movement": "predictable and continuous movement of the embedding",
    "movement_excess": "predictable and continuous movement of the embedding, against random orders",
    "follows_loss": "movement of the embedding with the loss of evidence",
    "off_manifold": "share of the curves' area off the training data",
    "r_oms": "relative off-manifold score",
    "inside": "what the test says where clean images lie",
    "oracle": "share of correct orders of the known truth, methods and random",
    "oracle_order": "share of images with the known truth above a method above random",
    "specificity": "specificity to the network's own maps",
    "encoding": "resistance to maps that spell the class",
    "references": "agreement with the references that were trained on perturbed images",
}


def sentence(statement: Statement) -> str:
    """Return the sentence of a statement."""
    return SENTENCES[statement.claim](statement)


def number(value: float | None, digits: int = DIGITS) -> str:
    """Return a number as printed everywhere; one that is not finite is called undefined."""
    return (
        UNDEFINED if value is None or not isfinite(value) else f"{round(value, digits) + 0.0:.{digits}f}"
    )  # no minus before a zero


def interval(evidence: Evidence, digits: int = DIGITS) -> str:
    """Return a number with its label and its interval: `matched 0.12 [0.03, 0.21]`."""
    ends = f" [{number(evidence.low, digits)}, {number(evidence.high, digits)}]" if evidence.low is not None else ""
    text = UNDEFINED if not isfinite(evidence.value) else f"{number(evidence.value, digits)}{ends}"
    return " ".join(part for part in (evidence.run, evidence.label, text) if part)


def source(statement: Statement) -> str:
    """Return the tables and rows of a statement's numbers, each once; rows that differ in one column are written as one."""
    rows: dict[str, list[str]] = {}
    for one in statement.evidence:
        if one.table and one.row not in rows.setdefault(one.table, []):
            rows[one.table].append(one.row)
    return "; ".join(f"{table}: {_folded(found)}" for table, found in rows.items())


def _folded(rows: Sequence[str]) -> str:
    cells = [row.split(", ") for row in rows]
    if len(rows) > 1 and len({len(row) for row in cells}) == 1:
        columns = [list(dict.fromkeys(column)) for column in zip(*cells, strict=True)]
        if sum(len(column) > 1 for column in columns) == 1:
            return ", ".join("/".join(column) for column in columns)
    return " | ".join(rows)


def listed(names: Iterable[str]) -> str:
    """Return names as code, with commas."""
    return ", ".join(f"`{name}`" for name in names)


def _numbers(statement: Statement) -> str:
    return ", ".join(interval(one) for one in statement.evidence)


def _size(statement: Statement) -> str:
    """Return what the numbers count over, as ` (3 seeds, 30 images)`."""
    parts = []
    for word, counts in (
        ("seed", [one.n_seeds for one in statement.evidence]),
        ("image", [one.n_images for one in statement.evidence]),
    ):
        found = sorted({count for count in counts if count is not None})
        if found:
            parts.append(f"{found[0]}{'' if len(found) == 1 else f' to {found[-1]}'} {word}{'' if found == [1] else 's'}")
    return f" ({', '.join(parts)})" if parts else ""


def _versions(statement: Statement, fact: str, show: Callable[[Any], str] = str) -> str:
    """Return a fact of the statement; of several runs that differ in it, each in their order."""
    versions = statement.about.get("versions", [statement.about])
    return " / ".join(dict.fromkeys(show(version[fact]) for version in versions))


def _share(statement: Statement, name: str) -> str:
    versions = statement.about.get("versions", [statement.about])
    return " / ".join(dict.fromkeys(version["shares"][name] for version in versions))


def _each(statement: Statement, shares: bool = False) -> str:
    """Return every name with its numbers, and with the share of its cells."""
    parts = []
    for name in statement.names:
        numbers = ", ".join(interval(one) for one in statement.numbers_of(name))
        share = f"{_share(statement, name)} cells, " if shares else ""
        parts.append(f"`{name}` ({share}{numbers})" if numbers or share else f"`{name}`")
    return ", ".join(parts)


def _p(value: float | None) -> str:
    if value is None or not isfinite(value):
        return UNDEFINED
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


# Differences between models


def _what(statement: Statement) -> str:
    about = statement.about
    over = [word for word, name in (("methods", about["method"]), ("heads", about["head"])) if name == ALL]
    of = [f"`{about[name]}`" for name in ("method", "head") if about[name] != ALL]
    parts = [f"mean over {' and '.join(over)}"] if over else []
    parts += [f"of {', '.join(of)}"] if of else []
    quantity = "SRG" if about["quantity"] == "value" else f"{about['quantity']} of SRG"
    return f"{quantity} ({', '.join([*parts, 'units ' + about['units'], 'fill ' + about['fill']])})"


def _standing(statement: Statement) -> str:
    family = "confirmatory" if statement.about["confirmatory"] else "exploratory"
    return f"{family}, Holm p {_versions(statement, 'p_holm', _p)}{_size(statement).replace(' (', '; ').removesuffix(')')}"


def _few(statement: Statement) -> str:
    n_seeds = statement.about["n_seeds"]
    if statement.claim.removeprefix("contrast_") not in ("higher", "lower", "equivalent", "noninferior", "more", "less"):
        return ""
    if n_seeds == 1:
        return "Of this one training alone, not of its recipe: "
    return f"Not a claim about recipes, for which {n_seeds} trainings are too few: " if statement.about["few"] else ""


def _difference(claim: str) -> Callable[[Statement], str]:
    def word(statement: Statement) -> str:
        about = statement.about
        text = f"{claim.format(what=_what(statement), **about)}: {_numbers(statement)} ({_standing(statement)})"
        small = statement.claim in ("higher", "lower") and about["within"]
        small_text = f"; the difference is smaller than the margin of {about['margin']:g}" if small else ""
        return f"{_few(statement)}{text}{small_text}{_needed(statement)}."

    return word


def _needed(statement: Statement) -> str:
    """Return what it would take to decide, where the claim is open and the table says."""
    about = statement.about
    detectable = about.get("detectable")
    is_open = statement.claim in ("undecided", "noninferiority_open", "contradiction")
    if not is_open or detectable is None or not isfinite(detectable):
        return ""
    needed, margin = about.get("seeds_needed"), f"{about['margin']:g}"
    small = f"; this design shows a difference of {number(detectable)} with a power of 80 %"
    if about["n_seeds"] == 1:
        return f"{small} for this training, which does not tell how many others it would take"
    if needed is not None and isfinite(needed):
        return f"{small}, and one of {margin} would need {int(needed)} seeds with these images"
    return f"{small}, and one of {margin} with no number of seeds on so few images"


def _over_setups(statement: Statement) -> str:
    about = statement.about
    words = {
        "higher": "higher",
        "lower": "lower",
        "equivalent": "equivalent",
        "contradiction": "contradictory between the routes",
        "undecided": "undecided",
        "undefined": UNDEFINED,
        "route_missing": "not measured on all routes",
    }
    counts = ", ".join(f"{words[claim]} in {count}" for claim, count in about["counts"].items())
    ends = f", from {' to '.join(interval(one) for one in statement.evidence)}" if statement.evidence else ""
    few = ", with too few trainings for a claim about recipes" if about["few"] else ""
    return (
        f"Over {about['n']} set-ups (units, fill), SRG of `{about['model']}` against `{about['minus']}` is {counts}{ends}{few}."
    )


# Methods


def _alone(statement: Statement) -> str:
    """Return that the numbers are of one training, where they are."""
    return "Of one training: " if {one.n_seeds for one in statement.evidence} == {1} else ""


def _random(text: str) -> Callable[[Statement], str]:
    def word(statement: Statement) -> str:
        return f"{_alone(statement)}On `{statement.about['model']}`, {text}: {_each(statement, shares=True)}{_size(statement)}."

    return word


def _order(statement: Statement) -> str:
    about, names = statement.about, statement.names
    order = " > ".join(f"`{name}` {' / '.join(number(one.value) for one in statement.numbers_of(name))}" for name in names)
    shared = min(version["shared"] for version in about.get("versions", [about]))
    if about["n_metrics"] < 2:
        kept = "kept predictions were not measured"
    elif shared == len(names):
        kept = "kept predictions give the same order"
    else:
        kept = f"kept predictions share the first {shared} places" if shared else "kept predictions name another first"
    where = f"With units {about['units']} and fill {about['fill']}"
    return f"{where}, the order by mean SRG over models and heads is {order}; {kept}; gaps between neighbours were not tested."


def _control_pair(statement: Statement) -> str:
    return ", ".join(
        f"`{name}` ({_share(statement, name)} cells; at worst {', '.join(interval(one) for one in statement.numbers_of(name))})"
        for name in statement.names
    )


def _places(statement: Statement) -> str:
    own, other = (", ".join(map(str, statement.about[side])) for side in ("own", "other"))
    return f"place {own} where the fill is its baseline ({statement.about['baseline']}), {other} elsewhere"


# Trust measures


def _measure(about: Mapping[str, Any]) -> str:
    text = MEASURES.get(about["measure"], about["measure"].replace("_", " "))
    return f"{text} ({about['part']})" if about["part"] else text


def _trust(text: str) -> Callable[[Statement], str]:
    def word(statement: Statement) -> str:
        about = statement.about
        side = "above" if about["better"] > 0 else "below"
        subject = _measure(about)
        opening = text.format(subject=subject[0].upper() + subject[1:], side=side, null=f"{about['null']:g}")
        return f"{_alone(statement)}{opening}: {_each(statement, shares=True)}{_size(statement)}."

    return word


def _contrast(text: str) -> Callable[[Statement], str]:
    def word(statement: Statement) -> str:
        about = statement.about
        cells = ", ".join(f"`{name}` ({_share(statement, name)} cells; {_of(statement, name)})" for name in statement.names)
        measures = f"each at the cell nearest to 0, not corrected{_size(statement).replace(' (', '; ').removesuffix(')')}"
        return f"{_few(statement)}{text.format(model=about['model'], minus=about['minus'])} ({measures}): {cells}."

    return word


def _of(statement: Statement, name: str) -> str:
    return ", ".join(interval(one) for one in statement.numbers_of(name))


def _disagree(statement: Statement) -> str:
    about = statement.about
    claims = ", ".join(f"{run}: {(claim or 'nothing').replace('_', ' ')}" for run, claim in about["claims"].items())
    names = f", {listed(about['names'])}" if about["names"] else ""
    where = ", ".join(part for part in statement.place if part not in (ALL, "value"))
    numbers = f"; {_numbers(statement)}" if statement.evidence and not about["names"] else ""
    return f"Runs disagree on {statement.topic} ({where}){names}, and nothing is concluded: {claims}{numbers}."


def _fixed(text: str) -> Callable[[Statement], str]:
    return lambda statement: text.format(**statement.about, names=listed(statement.names))


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
    shares = " / ".join(
        f"{version['n_holds']} of {version['n']}" for version in statement.about.get("versions", [statement.about])
    )
    far = f"; the mean farthest from 0 is {_numbers(statement)}{_size(statement)}" if statement.evidence else ""
    return f"The interval of the random attribution holds 0 in {shares} cells (model, head, metric, units, fill){lost}{far}."


def _variance(statement: Statement) -> str:
    parts = ", ".join(f"{number(100 * one.value, 0)} % {one.run} {one.label}".replace("  ", " ") for one in statement.evidence)
    return f"The variance of one value of SRG belongs to: {parts} (mean over {statement.about['n']} models, heads and methods)."


def _answer_open(statement: Statement) -> str:
    why = "; ".join(REASONS[name] for name in statement.names) or REASONS["undecided"]
    return f"The study does not answer its question: {why}."


def _answer(text: str) -> Callable[[Statement], str]:
    return lambda statement: f"{text}: {_numbers(statement)}{_size(statement)}."


def _leader_same(statement: Statement) -> str:
    whole = ", and the whole order is the same" if statement.about["same_order"] else ""
    return f"`{statement.names[0]}` comes first in all {statement.about['n']} set-ups (units, fill){whole}."


def _control_beats(statement: Statement) -> str:
    cells = "in some cells (model, head, units, fill)"
    pairs = f"{_control_pair(statement)}{_size(statement)}"
    return f"Methods that do no better than the best map that explains nothing, {cells}: {pairs}."


def _oracle_beaten(statement: Statement) -> str:
    beaten = f"in some cells (model, head, units, fill) maps score as high as `{statement.about['oracle']}` or are {UNDEFINED}"
    return f"The instrument failed on the known truth: {beaten}: {_control_pair(statement)}{_size(statement)}."


def _beyond_control(statement: Statement) -> str:
    least = f"each with the cell that shows it least: {_each(statement)}{_size(statement)}"
    return f"Methods whose excess over the best control {_ABOVE_CONTROL}, {least}."


def _closest_control(statement: Statement) -> str:
    best = f"`{statement.names[0]}`, the best in {_versions(statement, 'share')} cells"
    highest = f"its highest mean SRG is {_numbers(statement)}{_size(statement)}"
    return f"The control that comes closest to the methods is {best}; {highest}."


_AGREES = "plain flipping of the contrastive network agrees {} with its references than that of the other does with its own"
_METHODS = "methods that exceed random in {} (head, metric, units, fill), each with the cell that shows it least"
_ABOVE_CONTROL = "has an interval above 0 in every cell (model, head, units, fill)"
_NULL = "the value of no trust"

SENTENCES: Mapping[str, Callable[[Statement], str]] = {
    "answer_open": _answer_open,
    "answer_for": _answer(f"On these data, yes by the agreement with the references: {_AGREES.format('better')}"),
    "answer_against": _answer(f"On these data, no by the agreement with the references: {_AGREES.format('less')}"),
    "question_unmeasured": _fixed(
        "The agreement of plain flipping with references that were trained on perturbed images was not measured."
    ),
    # differences
    "higher": _difference("{what} is higher for `{model}` than for `{minus}` on every route"),
    "lower": _difference("{what} is lower for `{model}` than for `{minus}` on every route"),
    "equivalent": _difference(
        "{what} differs between `{model}` and `{minus}` by less than the margin of {margin:g} on every route"
    ),
    "contradiction": _difference(
        "The routes contradict each other: {what} differs between `{model}` and `{minus}` on some of them alone"
    ),
    "undecided": _difference(
        "{what} is shown neither to differ between `{model}` and `{minus}` nor to be equivalent within {margin:g}"
    ),
    "undefined": _difference("{what} is undefined for `{model}` or `{minus}` on some route, so that nothing can be said"),
    "route_missing": _difference("{what} was not compared on all routes for `{model}` and `{minus}`, so that nothing is claimed"),
    "noninferior": _difference(
        "{what} is not worse for `{model}` than for `{minus}` by the margin of {margin:g}, on every route"
    ),
    "noninferiority_open": _difference(
        "{what} could be worse for `{model}` than for `{minus}` by the margin of {margin:g} or more"
    ),
    "over_setups": _over_setups,
    "single": lambda one: (
        f"Single methods, mean over heads, that differ in every set-up and on every route: {_each(one)}{_size(one)}."
    ),
    "single_none": _fixed(
        "No difference of a single method, mean over heads, is shown by a corrected test in every set-up and on every route."
    ),
    "no_pair": _fixed("No two models were compared."),
    # methods
    "random_above": _random(_METHODS.format("every cell")),
    "random_partly": _random(_METHODS.format("some cells alone")),
    "random_not_shown": _random(
        "methods for which no cell (head, metric, units, fill) shows an excess over random, nor its absence, each with the cell "
        "that comes last"
    ),
    "random_below": _random("methods that are worse than random in every cell (head, metric, units, fill)"),
    "random_undefined": _random("methods whose excess over random is undefined in some cell (head, metric, units, fill)"),
    "order": _order,
    "order_undefined": _fixed("With units {units} and fill {fill}, the order of the methods is undefined: a mean is missing."),
    "leader_same": _leader_same,
    "leader_changes": lambda one: f"Which method comes first depends on the set-up (units, fill): {_each(one, shares=True)}.",
    "baseline_decides": lambda one: f"`{one.names[0]}` wins where its baseline is the fill: {_places(one)}.",
    "baseline_mixed": lambda one: f"`{one.names[0]}` does not stand higher wherever its baseline is the fill: {_places(one)}.",
    "baseline_confounded": _fixed(
        "{names} comes first, and the only fill is its own baseline ({baseline}): whether it owes its place to that is open."
    ),
    # controls
    "no_control": _fixed("No control besides random was run: whether a map that never saw the network scores as well is open."),
    "control_beats": _control_beats,
    "control_beats_none": _fixed("No control reaches the mean SRG of {names} in any cell (model, head, units, fill)."),
    "beyond_control": _beyond_control,
    "beyond_control_none": _fixed(f"For no method the excess over the best control {_ABOVE_CONTROL}."),
    "closest_control": _closest_control,
    # the instrument
    "checks_pass": _fixed("All {n} self-checks passed."),
    "checks_warn": _checks_warn,
    "no_checks": _fixed("No self-checks are at hand."),
    "accuracy": _accuracy,
    "accuracy_undefined": _fixed("The accuracy of some head is undefined."),
    "random_holds": _random_holds,
    "temperature": lambda one: (
        f"Between the ends of the temperatures' 95 % intervals no mean of matched SRG moves by more than {_numbers(one)}."
    ),
    "no_oracle": _fixed("The truth is not known for these images: whether the test ranks it first cannot be said."),
    "oracle_wins": _fixed(
        "The known truth (`{oracle}`) scores above every method and every map that is blind to the network in all {n} cells."
    ),
    "oracle_beaten": _oracle_beaten,
    "variance": _variance,
    "variance_undefined": _fixed("How much of the variance belongs to trainings and to images is undefined."),
    # the size of the study
    "one_seed": _fixed("With one training per model all intervals are over images: they say nothing of another training."),
    "few_seeds": _fixed(
        "With {n} trainings per model, fewer than {least}, intervals are wide: no difference between recipes, nor "
        "its absence, is claimed."
    ),
    "one_model": _fixed("With {names} as the only model nothing can be said about how training changes the test."),
    "no_reference": _fixed("No reference that was trained on perturbed images is among the models."),
    # trust
    "no_trust": _fixed("No trust measure was computed: the test itself was not tested."),
    "trust_left_out": lambda one: f"Not measured: {_measure(one.about)}, since {one.about['reason'].partition(':')[0]}.",
    "trust_shown": _trust(f"{{subject}} is {{side}} {{null}}, {_NULL}, in every cell (head, units, fill) of"),
    "trust_partly": _trust(f"{{subject}} is {{side}} {{null}}, {_NULL}, in some cells (head, units, fill) alone of"),
    "trust_not_shown": _trust(f"{{subject}} is not shown to be {{side}} {{null}}, {_NULL}, in any cell (head, units, fill) of"),
    "trust_against": _trust(f"{{subject}} is on the wrong side of {{null}}, {_NULL}, in every cell (head, units, fill) of"),
    "trust_undefined": _trust("{subject} is undefined in some cell (head, units, fill) of"),
    "contrast_more": _contrast("`{model}` is more trustworthy than `{minus}` in every cell (head, units, fill) by"),
    "contrast_less": _contrast("`{model}` is less trustworthy than `{minus}` in every cell (head, units, fill) by"),
    "contrast_partly": _contrast("`{model}` and `{minus}` are told apart in some cells (head, units, fill) alone by"),
    "contrast_contradiction": _contrast(
        "`{model}` and `{minus}` differ in opposite directions, so that nothing is concluded, by"
    ),
    "contrast_open": _contrast("`{model}` and `{minus}` could not be told apart, which does not make them equal, by"),
    "contrast_undefined": _contrast("The difference of `{model}` and `{minus}` is undefined in some cell (head, units, fill) by"),
    "runs_disagree": _disagree,
}
