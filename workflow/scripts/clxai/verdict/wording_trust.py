"""Sentences on the trust measures: on each model against the value of no trust, and between models."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from clxai.verdict.phrasing import UNDEFINED, alone, few, interval, intervals, share, size, size_within, versions
from clxai.verdict.records import Evidence, Statement
from clxai.verdict.standing import Standing

MEASURES = {
    "agreement": "agreement of the order of methods across set-ups",
    "replication": "replication of the order of methods in other seeds and images",
    "reliability": "agreement of single images on the order of methods",
    "degradation": "recovery of the known order of degraded maps",
    "degradation_capped": "recovery of the known order of degraded maps while at most a tenth of the units is removed",
    "concordance": "concordance of set-ups, Kendall's W",
    "generalisability": "generalisability of the order of methods to other seeds and images",
    "movement": "movement of the embedding",
    "movement_excess": "movement of the embedding, less that of random orders,",
    "follows_loss": "movement of the embedding with the loss of evidence",
    "off_manifold": "share of the curves' area off the training data",
    "r_oms": "relative off-manifold score",
    "inside": "SRG within the part of the curves where clean images lie",
    "oracle": "share of correct orders of the known truth, methods and random",
    "oracle_order": "share of images with the known truth above a method above random",
    "specificity": "gain of the network's own maps over borrowed ones",
    "randomisation": "gain of the trained network's maps over those of its randomised copies",
    "encoding": "resistance to maps that spell the class",
    "references": "agreement with the reference that was trained on perturbed images",
    "references_capped": "agreement with the reference while it loses at most a tenth of the units",
    "routes": "agreement of the routes by which models are compared",
}
PARTS = {
    "srg": "",
    "srg_own": "by the reference's own maps",
    "srg_own_degraded": "by the reference's own and degraded maps",
    "srg_halves": "by halves of the seeds",
    "srg_plain": "the model itself, so capped",
    "srg_other_seed": "maps of another seed",
    "srg_other_model": "maps of another model",
    "loss": "step by step",
    "encoder": "SRG of the path in the embedding",
    "projection": "SRG of the path in the projection",
    "monotone": "without turning back",
    "continuous": "without leaps",
    "bank": "by neighbours",
    "mahalanobis": "by Mahalanobis distance",
    "bank_random": "by neighbours, random orders",
    "mahalanobis_random": "by Mahalanobis distance, random orders",
    "matched": "at the fitted temperature",
    "kept": "of kept predictions",
}
_WORDS = {
    "shown": "in every cell of",
    "partly": "in some cells alone of",
    "not_shown": "in no cell of",
    "against": "on the wrong side in every cell of",
    "undefined": f"{UNDEFINED} in some cell of",
}
_CLAIMS = {
    "higher": "all above 0 in",
    "lower": "all below 0 in",
    "partly": "0 within some alone in",
    "contradiction": "on opposite sides of 0 in",
    "none": "0 within all in",
    "undefined": f"{UNDEFINED} in",
}


def measure_of(measure: str, part: str = "") -> str:
    """Return a measure in words, with its part in brackets."""
    text = MEASURES.get(measure, measure.replace("_", " "))
    words = part_of(part)
    return f"{text.rstrip(',')} ({words})" if words else text


def part_of(part: str) -> str:
    """Return a part in words; empty for SRG itself."""
    return PARTS.get(part, part.removeprefix("srg_").replace("_", " "))


def standings(statement: Statement) -> str:
    """Return for each part and word the models, and the number of the cell that says it least."""
    about = statement.about
    found = {name: about["standings"][name] for name in statement.names}
    parts = list(dict.fromkeys(one.part for one in about["standings"].values()))
    told = []
    for part in parts:
        groups: dict[str, list[str]] = {}
        for name in (name for name, one in found.items() if one.part == part):
            groups.setdefault(found[name].word, []).append(name)
        text = ", but ".join(_group(statement, word, own) for word, own in groups.items())
        if text:
            told.append(", ".join(filter(None, (_spoken(part, parts), text))))
    unshared = [one for version in versions(statement) for one in _unshared(version["standings"], found)]
    named = [(one.model, _spoken(one.part, parts)) for one in unshared]
    lost = sorted({f"`{model}`{f' ({part})' if part else ''}" for model, part in named})
    if lost:
        told.append(f"the runs disagree on {', '.join(lost)}")
    return f"{': ' if len(parts) > 1 else ' '}{'; '.join(told)}"


def _spoken(part: str, parts: Sequence[str]) -> str:
    """Return a part in words where it is one of several; empty for the only one, and for SRG itself."""
    return part_of(part) if len(parts) > 1 else ""


def _unshared(known: Mapping[str, Standing], found: Iterable[str]) -> Sequence[Standing]:
    return [one for name, one in known.items() if name not in found]


def _group(statement: Statement, word: str, names: Sequence[str]) -> str:
    """Return the models that share a word, with the least of their numbers."""
    found = [statement.about["standings"][name] for name in names]
    every = len(found) == statement.about["n_models"] > 1 and word not in ("partly", "undefined")
    models = (
        f"{'any' if word == 'not_shown' else 'every'} model"
        if every
        else ", ".join(_model(statement, name, word) for name in names)
    )
    return f"{_WORDS[word]} {models} ({_least(statement, word, names)})"


def _model(statement: Statement, name: str, word: str) -> str:
    model = f"`{statement.about['standings'][name].model}`"
    if word not in ("partly", "undefined"):
        return model
    shares = dict.fromkeys(version["standings"][name].share for version in versions(statement))
    return f"{model} ({' / '.join(shares)})"


def _least(statement: Statement, word: str, names: Sequence[str]) -> str:
    """Return of each run the number that says it least, with its model where there are several."""
    numbers = [(one, statement.about["standings"][name].model) for name in names for one in statement.numbers_of(name)]
    runs: dict[str, list[tuple[Evidence, str]]] = {}
    for one, model in numbers:
        runs.setdefault(one.run, []).append((one, model))
    better = statement.about.get("better", 1)
    least = [min(own, key=lambda pair: _doubt(pair[0], word, better)) for own in runs.values()]
    of = [f"{interval(one)}{f' on `{model}`' if len(names) > 1 else ''}" for one, model in least]
    return f"least {', '.join(of)}" if word != "undefined" else ", ".join(of)


def _doubt(one: Evidence, word: str, better: int) -> float:
    """Return how well a number fits its word: the lower the worse."""
    if not one.defined or one.low is None or one.high is None:
        return float("-inf")
    low, high = sorted((better * one.low, better * one.high))
    return -high if word == "against" else low


def _held(statement: Statement) -> str:
    about = statement.about
    parts = {one.part for one in about["standings"].values()}
    subject = measure_of(about["measure"], *(parts if len(parts) == 1 else ()))
    side, null = "above" if about["better"] > 0 else "below", f"{about['null']:.2g}"
    shown = f"is shown {side} {null} ({null}: no trust){standings(statement)}"
    return f"{alone(statement)}{subject[0].upper() + subject[1:]} {shown}{size(statement)}."


def _contrast(text: str) -> Callable[[Statement], str]:
    def word(statement: Statement) -> str:
        about = statement.about
        opening = text.format(model=about["model"], minus=about["minus"], what=measure_of("references", about["part"]))
        cells = ", ".join(
            f"{share(statement, name)} cells; nearest to 0 {intervals(statement.numbers_of(name))}" for name in statement.names
        )
        sure = statement.claim in ("contrast_more", "contrast_less")
        return f"{few(statement) if sure else ''}{opening} ({cells}, not corrected{size_within(statement)})."

    return word


def _pair(statement: Statement) -> str:
    if not statement.names:
        return _pairs_alike(statement)
    about = statement.about
    told = []
    for claim in ("more", "less"):
        names = [name for name in statement.names if about["measures"][name][2] == claim]
        numbers = ", ".join(
            f"{measure_of(*about['measures'][name][:2])} {intervals(statement.numbers_of(name))}" for name in names
        )
        told += [f"{claim} trustworthy by {numbers}"] if names else []
    which = f"`{about['model']}` is, against `{about['minus']}`, in every cell {'; '.join(told)}"
    rest = "which does not make them equal; the rest is in trust_contrasts.csv"
    others = f"of {about['n']} measures and parts the others tell them apart less, {_counts(statement.about)}, {rest}"
    return f"{few(statement)}{which} (nearest to 0, not corrected{size_within(statement)}); {others}."


def _pairs_alike(statement: Statement) -> str:
    joined = statement.about.get("joined", [statement.about])
    pairs = ", ".join(f"`{one['model']}` - `{one['minus']}` (of {one['n']} measures and parts {_counts(one)})" for one in joined)
    seeds = statement.about["n_seeds"]
    rest = f"not corrected; {seeds} seed{'' if seeds == 1 else 's'}; the numbers are in trust_contrasts.csv"
    runs = " in all runs" if len(versions(statement)) > 1 else ""
    return f"No trust measure tells these apart in every cell{runs}, which does not make them equal: {pairs} ({rest})."


def _counts(about: Mapping) -> str:
    """Return how many measures say less than a difference in every cell, of each run."""
    words = {
        "partly": "{n} in some cells alone",
        "contradiction": "{n} on opposite sides",
        "open": "{n} in none",
        "undefined": f"{{n}} {UNDEFINED} in some cell",
    }
    parts, known = [], about.get("versions", [about])
    lost = [set(version["measures"]) for version in known]
    if set.union(*lost) - set.intersection(*lost):
        parts.append(f"{len(set.union(*lost) - set.intersection(*lost))} in every cell of some runs alone")
    for claim, text in words.items():
        found = list(dict.fromkeys(version["counts"][claim] for version in known))
        if any(found):
            parts.append(text.format(n=" / ".join(map(str, found))))
    return ", ".join(parts) or "no other"


def _routes(statement: Statement) -> str:
    parts = []
    for name in statement.names:
        model, minus = statement.about["pairs"][name]
        found = [version["counts"][name] for version in versions(statement)]
        claims = dict.fromkeys(claim for counts in found for claim in counts)
        shares = {claim: " / ".join(dict.fromkeys(str(one.get(claim, 0)) for one in found)) for claim in claims}
        told = ", ".join(f"{_CLAIMS[claim]} {counted}" for claim, counted in shares.items())
        parts.append(f"`{model}` - `{minus}` {told} of {sum(found[0].values())} cells")
    short = "; too few trainings for a claim about recipes" if statement.about["few"] else ""
    every = {pair for version in versions(statement) for pair in version["pairs"].values()}
    lost = sorted(every - {statement.about["pairs"][name] for name in statement.names})
    parts += [f"the runs disagree on {', '.join(f'`{model}` - `{minus}`' for model, minus in lost)}"] if lost else []
    text = "; ".join(parts)
    srg = "SRG at the fitted temperature and of kept predictions, each also less that of random orders"
    routes = f"Whether the routes by which models are compared ({srg}; {_naopc(statement)}) agree"
    return f"{routes}, by their intervals: {text}{short}."


def _naopc(statement: Statement) -> str:
    """Return in how many of the cells NAOPC is one of the routes."""
    found = versions(statement)
    cells = sum(sum(claims.values()) for claims in found[0]["counts"].values())
    searched = " / ".join(dict.fromkeys(str(sum(one["searched"].values())) for one in found))
    return f"NAOPC in {searched} of {cells} cells" if searched != "0" else "NAOPC in none, no best and worst order was searched"


def _left_out(statement: Statement) -> str:
    reasons: dict[str, list[str]] = {}
    for one in statement.about.get("joined", [statement.about]):
        reasons.setdefault(one["reason"].partition(":")[0], []).append(measure_of(one["measure"]))
    parts = [f"{', '.join(names)}, since {reason}" for reason, names in reasons.items()]
    return f"Not measured: {'; '.join(parts)}."


def _random(statement: Statement) -> str:
    subject = f"`{statement.about['method']}` is shown to exceed random (head, metric, units, fill)"
    return f"{alone(statement)}{subject}{standings(statement)}{size(statement)}."


SENTENCES: Mapping[str, Callable[[Statement], str]] = {
    "no_trust": lambda one: "No trust measure was computed: the test itself was not tested.",
    "trust_left_out": _left_out,
    "trust_held": _held,
    "random_held": _random,
    "routes_agree": _routes,
    "trust_pair": _pair,
    "contrast_more": _contrast("`{model}` has more {what} than `{minus}` in every cell"),
    "contrast_less": _contrast("`{model}` has less {what} than `{minus}` in every cell"),
    "contrast_partly": _contrast("By the {what}, `{model}` and `{minus}` are told apart in some cells alone"),
    "contrast_contradiction": _contrast(
        "By the {what}, `{model}` and `{minus}` differ in opposite directions, so that nothing is concluded"
    ),
    "contrast_open": _contrast("By the {what}, `{model}` and `{minus}` could not be told apart, which does not make them equal"),
    "contrast_undefined": _contrast("The {what} of `{model}` less that of `{minus}` is undefined in some cell"),
}
