"""One English sentence for each statement, with its numbers: no sentence hides a number that is not defined."""

from collections.abc import Callable, Mapping, Sequence

from clxai.names import ALL
from clxai.verdict import wording_differences, wording_instrument, wording_trust
from clxai.verdict.differences import pair_of
from clxai.verdict.phrasing import intervals, listed, size
from clxai.verdict.records import Evidence, Statement
from clxai.verdict.trusting import QUESTION as QUESTION_MEASURE
from clxai.verdict.wording_instrument import fixed

QUESTION = (
    "Do contrastively trained networks make pixel flipping a trustworthy test of explanations, without the extra augmentation or "
    "fine-tuning that cross-entropy networks need?"
)
REASONS = {
    "oracle_beaten": "the instrument failed where the truth is known",
    "checks": "not all self-checks passed",
    "no_pair": "no contrastive model stands beside one that is not",
    "undefined": "the agreement with the references is undefined",
    "undecided": "the agreement with the references does not differ in the same direction with intervals that exclude 0",
}


def sentence(statement: Statement) -> str:
    """Return the sentence of a statement."""
    return SENTENCES[statement.claim](statement)


def _unmeasured(about: Mapping) -> str:
    """Return which agreement was not measured, and the setting that would give it."""
    missing, having = listed(about["missing"]), listed(about["having"])
    if not missing:
        return "the agreement of plain flipping with each model's reference was measured, but not compared between the models"
    where = f" (it was for {having} alone)" if having else ""
    lacks = f"the agreement of plain flipping with a reference trained on perturbed images was not measured for {missing}{where}"
    if about["named"]:
        return f"{lacks}: `study.trust` leaves `{QUESTION_MEASURE}` out"
    return f"{lacks}; each needs one in `statistics.references` and `study.models`"


def _few_seeds(about: Mapping) -> str:
    trained = (
        f"{about['n_seeds']} training{'' if about['n_seeds'] == 1 else 's'} per model are"
        if about["n_seeds"]
        else "the trainings are"
    )
    return f"{trained} fewer than the {about['least']} that a claim about recipes needs (`study.seeds`)"


def _answer_open(statement: Statement) -> str:
    made = {"unmeasured": _unmeasured, "few_seeds": _few_seeds}
    why = [made[name](statement.about) if name in made else REASONS[name] for name in statement.names or ("undecided",)]
    return f"The study does not answer its question: {'; '.join(why)}."


def _answer(text: str) -> Callable[[Statement], str]:
    return lambda statement: f"{text}: {intervals(statement.evidence)}{size(statement)}."


def _disagree(statement: Statement) -> str:
    about = statement.about
    if statement.topic == "differences" and "metric" in about:
        return _disagree_on_pairs(statement)
    names = f", {listed(about['names'])}" if about["names"] else ""
    where = ", ".join(part for part in statement.place if part not in (ALL, "value"))
    numbers = f"; {_first(statement.evidence)}" if statement.evidence and not about["names"] else ""
    return f"Runs disagree on {statement.topic} ({where}){names}, and nothing is concluded: {_claims(about)}{numbers}."


def _disagree_on_pairs(statement: Statement) -> str:
    joined = statement.about.get("joined", [statement.about])
    numbers = [statement.numbers_of(name) for name in statement.names] or [statement.evidence]
    cells = zip(statement.names or (pair_of(statement),), joined, numbers, strict=True)
    pairs = [f"{name} ({_claims(one)}; {_first(own)})" for name, one, own in cells]
    where = ", ".join(part for part in statement.place[2:] if part not in (ALL, "value"))
    return f"Runs disagree on differences ({where}), and nothing is concluded: {', '.join(pairs)}."


def _claims(about: Mapping) -> str:
    return ", ".join(f"{run}: {(claim or 'nothing').replace('_', ' ')}" for run, claim in about["claims"].items())


def _first(numbers: Sequence[Evidence]) -> str:
    """Return the first number of each run."""
    first = {one.run: one for one in reversed(numbers)}
    return intervals(reversed(first.values()))


_AGREES = "plain flipping of the contrastive network agrees {} with its references than that of the other does with its own"

SENTENCES: Mapping[str, Callable[[Statement], str]] = {
    **wording_differences.SENTENCES,
    **wording_trust.SENTENCES,
    **wording_instrument.SENTENCES,
    "answer_open": _answer_open,
    "answer_for": _answer(f"On these data, yes by the agreement with the references: {_AGREES.format('better')}"),
    "answer_against": _answer(f"On these data, no by the agreement with the references: {_AGREES.format('less')}"),
    "one_seed": fixed("With one training per model all intervals are over images: they say nothing of another training."),
    "few_seeds": fixed(
        "With {n} trainings per model, fewer than {least}, intervals are wide: no difference between recipes, nor "
        "its absence, is claimed."
    ),
    "one_model": fixed("With {names} as the only model nothing can be said about how training changes the test."),
    "no_reference": fixed("No reference that was trained on perturbed images is among the models."),
    "runs_disagree": _disagree,
}
