"""What a study would take: time, memory and disk by rule, from counted work and measured rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clxai.planning.work import Load, by_rule

# Seconds a row where a rule works on tables (`fit_heads`: on training images), and seconds a job where it draws: of the run of
# config/answer.yaml on two AVX2 cores beside other work (docs/results/answer/run.txt), 245,000 rows.
SECONDS_A_ROW = {
    "fit_heads": 4.0e-3,
    "summarise": 1.2e-3,
    "assess_trust": 9.0e-4,
    "check_study": 1.5e-4,
    "build_explorer": 1.5e-4,
}
SECONDS_A_JOB = {"plot_figure": 7.0, "state_verdict": 3.0, "prepare_data": 2.0, "sample_images": 1.5}
_LIBRARIES, _TABLES = 0.8, 0.3  # GB of a process with torch, and of one without
_A_ROW = 2.5e-6  # GB that `summarise` holds a row: the same run
_STATES = 16  # bytes a weight while it is trained: itself, gradient, momentum, the kept copy
_GIGA = 1e9


@dataclass(frozen=True)
class Rates:
    """What one core does with a network, and what it holds: passes a second, FLOP and bytes of an image, weights.

    `forward` are passes for embeddings and curves, `trained` images of a training step, forward and backward.
    """

    forward: float
    trained: float
    flop: float
    held: float
    weights: int
    features: int


@dataclass(frozen=True)
class Row:
    """What a rule takes: jobs, TFLOP, seconds of one core, most GB of memory of a job, GB on the disk."""

    rule: str
    jobs: int
    tflop: float
    seconds: float
    memory: float
    disk: float


def estimate(loads: Sequence[Load], rates: Mapping[str, Rates], start_up: float, batches: Mapping[str, int]) -> list[Row]:
    """Return a row for each rule, and one of all (`all`), of loads and the rates of each model.

    `start_up` are the seconds that a job takes before it computes, `batches` the images, views counted, of a training step.
    """
    rows = [_row(rule, own, rates, start_up, batches) for rule, own in by_rule(loads).items()]
    jobs, tflop, seconds, disk = (sum(getattr(row, name) for row in rows) for name in ("jobs", "tflop", "seconds", "disk"))
    return [*rows, Row("all", jobs, tflop, seconds, max(row.memory for row in rows), disk)]


def _row(rule: str, loads: Sequence[Load], rates: Mapping[str, Rates], start_up: float, batches: Mapping[str, int]) -> Row:
    jobs = sum(load.jobs for load in loads)
    flop = sum(_passes(load) * rates[load.model].flop for load in loads if load.model)
    seconds = jobs * SECONDS_A_JOB.get(rule, start_up)
    seconds += sum(load.rows for load in loads) * SECONDS_A_ROW.get(rule, 0.0)
    seconds += sum(_computing(load, rates[load.model]) for load in loads if load.model)
    disk = sum(load.bytes + _stored(load, rates) for load in loads)
    return Row(rule, jobs, flop / 1e12, seconds, max(_memory(load, rates, batches) for load in loads), disk / _GIGA)


def _passes(load: Load) -> float:
    """Return forward passes, and as many for each part of a training step: forward, by the weights, by the activations."""
    return float(load.forward + 3 * load.trained)


def _computing(load: Load, rates: Rates) -> float:
    return load.forward / rates.forward + load.trained / rates.trained


def _stored(load: Load, rates: Mapping[str, Rates]) -> float:
    """Return the bytes of weights and embeddings, which the config does not tell."""
    if load.rule == "train_model":
        return 4.0 * load.jobs * rates[load.model].weights
    return 4.0 * load.forward * rates[load.model].features if load.rule == "embed_images" else 0.0


def _memory(load: Load, rates: Mapping[str, Rates], batches: Mapping[str, int]) -> float:
    """Return the most GB that a job holds: in a training step, what is kept of the images until their gradients come."""
    if load.rule == "train_model":
        own = rates[load.model]
        return _LIBRARIES + (_STATES * own.weights + batches[load.model] * own.held) / _GIGA
    return _LIBRARIES if load.model else _TABLES + _A_ROW * load.rows * (load.rule == "summarise")
