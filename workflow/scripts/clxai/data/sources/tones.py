"""Generated tones, pulses and chirps among others: where the evidence is in time and frequency, is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from clxai.data.mel import Mel, hz_of, mel_of, mel_settings
from clxai.data.planted import counts_of
from clxai.data.sources.base import Source, source
from clxai.data.spectrograms import codes
from clxai.data.tones import check
from clxai.keys import key_of

_NOISE = 1e-3  # standard deviation of the noise under all sounds; a full sine has the amplitude 1
_LOUD = (0.1, 0.2)  # from which amplitudes are drawn
_PULSE = 0.04  # seconds of a pulse of noise
_CHIRP = 0.3  # seconds of a chirp
_SWEEP = 0.4  # share of the mels that the steepest chirp crosses
_INSIDE = (0.1, 0.9)  # share of the mels, or of the time, in which sounds lie
_RAISED = 3.0  # dB by which evidence must raise a cell to count


@source(
    "tones",
    takes=("arguments",),
    planning="clxai.data.tones",
    evidence=True,
    modality="audio",
    options={
        "images": 3000,
        "variant": "both",
        "classes": 4,
        "distractors": 2,
        "rate": 8000,
        "seconds": 1.0,
        "n_fft": 256,
        "hop": 0,
        "fmin": 0.0,
        "fmax": 0.0,
        "floor": 80.0,
    },
    at_most={"classes": 8},
    at_least={"images": 100, "distractors": 0, "classes": 2, "rate": 1000, "n_fft": 16},
)
def tones(config: Mapping[str, Any]) -> Source:
    """Spectrograms of generated sounds whose class is a pitch, a gap in time or the slope of a chirp: the evidence is known."""
    check(config, "datasets")
    own, mel = config["arguments"], mel_settings(config)
    split = np.repeat(np.arange(3), list(counts_of(config, own["images"]).values()))
    labels = np.arange(len(split)) % own["classes"]

    def heard(index: int) -> tuple[UInt8[ndarray, "mel frame"], UInt8[ndarray, "mel frame"]]:
        return spectrogram_and_evidence(*sounds(index, int(labels[index]), config, mel), mel)

    return Source(
        labels=labels,
        split=split,
        class_names=tuple(f"{own['variant']} {number}" for number in range(own["classes"])),
        read=lambda index: heard(index)[0],
        evidence=lambda index: heard(index)[1],
        spectrogram=mel.record(),
    )


def spectrogram_and_evidence(
    evidence: Float[ndarray, " sample"], others: Float[ndarray, " sample"], mel: Mel
) -> tuple[UInt8[ndarray, "mel frame"], UInt8[ndarray, "mel frame"]]:
    """Return the spectrogram of both sounds together, and 1 where the evidence raises it by 3 dB or more, else 0."""
    together, without = codes(evidence + others, mel), codes(others, mel)
    raised = (together.astype(float) - without) * mel.floor / 255
    return together, (raised >= _RAISED).astype(np.uint8)


def sounds(
    index: int, label: int, config: Mapping[str, Any], mel: Mel
) -> tuple[Float[ndarray, " sample"], Float[ndarray, " sample"]]:
    """Return the sound that tells the class, and all others, keyed by seed and index.

    What tells the class is drawn from a stream of its own, and all else does not depend on the class. The others lie along the
    other axis: pulses beside a tone, tones beside a gap, both beside a chirp.
    """
    own, seed = config["arguments"], config["seed"]
    rng = np.random.default_rng(key_of("tones", seed, index))
    told = np.random.default_rng(key_of("tones evidence", seed, index))
    others = rng.normal(0, _NOISE, mel.samples)
    for number in range(own["distractors"]):
        steady = {"frequency": False, "time": True, "both": number % 2 == 0}[own["variant"]]
        others += _tone(rng.uniform(*_INSIDE), mel, rng) if steady else _pulse(rng.uniform(*_INSIDE), mel, rng)
    share = label / (own["classes"] - 1)
    return {"frequency": _pitched, "time": _gapped, "both": _chirped}[own["variant"]](share, own["classes"], mel, told), others


def _pitched(share: float, n_classes: int, mel: Mel, rng: np.random.Generator) -> Float[ndarray, " sample"]:
    """Return a steady tone whose pitch is the class: equally spaced in mels, off its place by a tenth of the spacing at most."""
    low, high = _INSIDE
    off = rng.uniform(-0.1, 0.1) * (high - low) / (n_classes - 1)
    return _tone(low + share * (high - low) + off, mel, rng)


def _gapped(share: float, n_classes: int, mel: Mel, rng: np.random.Generator) -> Float[ndarray, " sample"]:
    """Return two pulses whose distance is the class, a tenth to a half of the time, at a random place."""
    gap = 0.1 + 0.4 * share
    first = rng.uniform(_INSIDE[0], _INSIDE[1] - gap)
    return _pulse(first, mel, rng) + _pulse(first + gap, mel, rng)


def _chirped(share: float, n_classes: int, mel: Mel, rng: np.random.Generator) -> Float[ndarray, " sample"]:
    """Return a chirp whose slope in mels is the class, from falling to rising, at a random time and pitch."""
    sweep, (low, high) = (2 * share - 1) * _SWEEP, _INSIDE
    start = rng.uniform(low + max(0.0, -sweep), high - max(0.0, sweep))
    length = min(_CHIRP, 0.6 * mel.samples / mel.rate)
    begin = rng.uniform(low, high - length * mel.rate / mel.samples)
    samples = round(length * mel.rate)
    return _placed(_swept(start, start + sweep, samples, mel, rng), begin, mel)


def _tone(height: float, mel: Mel, rng: np.random.Generator) -> Float[ndarray, " sample"]:
    return _swept(height, height, mel.samples, mel, rng)


def _swept(start: float, end: float, samples: int, mel: Mel, rng: np.random.Generator) -> Float[ndarray, " samples"]:
    """Return a sine that goes from one height to another, shares of the mels, linearly in mels, with soft ends."""
    low, high = mel_of(mel.fmin), mel_of(mel.fmax)
    points = np.linspace(start, end, 65)
    hz = np.interp(np.linspace(0, 64, samples), np.arange(65), [hz_of(float(low + point * (high - low))) for point in points])
    phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(hz) / mel.rate
    return rng.uniform(*_LOUD) * np.sin(phase) * _soft(samples, mel)


def _pulse(when: float, mel: Mel, rng: np.random.Generator) -> Float[ndarray, " sample"]:
    """Return a pulse of white noise at a share of the time."""
    samples = round(_PULSE * mel.rate)
    return _placed(rng.uniform(*_LOUD) * rng.normal(0, 1, samples) * _soft(samples, mel), when, mel)


def _soft(samples: int, mel: Mel) -> Float[ndarray, " samples"]:
    """Return a window that rises and falls in 10 ms."""
    ramp = max(1, min(round(0.01 * mel.rate), samples // 2))
    rise = np.sin(np.linspace(0, np.pi / 2, ramp)) ** 2
    return np.concatenate([rise, np.ones(samples - 2 * ramp), rise[::-1]])


def _placed(sound: Float[ndarray, " part"], when: float, mel: Mel) -> Float[ndarray, " sample"]:
    """Return a sound that begins at a share of the time, in silence; what does not fit is left out."""
    whole, first = np.zeros(mel.samples), round(when * mel.samples)
    whole[first : first + len(sound)] = sound[: mel.samples - first]
    return whole
