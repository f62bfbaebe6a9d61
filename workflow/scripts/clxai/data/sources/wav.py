"""Recordings as mel spectrograms."""

import struct
import warnings
import wave
from collections.abc import Mapping
from contextlib import suppress
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from clxai.data.mel import Mel, mel_settings
from clxai.data.recordings import check, class_names, own_split, scan
from clxai.data.sources.base import Source, source
from clxai.data.spectrograms import codes, fitted
from clxai.errors import ClxaiError
from clxai.keys import key_of


@source(
    "wav",
    needs=("path",),
    takes=("arguments",),
    planning="clxai.data.recordings",
    modality="audio",
    options={
        "pattern": "",
        "rate": 8000,
        "seconds": 1.0,
        "n_fft": 256,
        "hop": 0,
        "fmin": 0.0,
        "fmax": 0.0,
        "floor": 80.0,
        "level": "peak",
        "place": "centre",
        "test_below": 0,
        "expect_recordings": 0,
        "expect_classes": 0,
        "expect_groups": 0,
    },
    at_least={"rate": 1000, "n_fft": 16},
)
def wav(config: Mapping[str, Any]) -> Source:
    """A folder of wav files as mel spectrograms; a pattern of their names tells the class and the group, such as the speaker."""
    check(config, "datasets")
    found, mel, own, root = scan(config), mel_settings(config), config["arguments"], Path(config["path"])
    labels = found.column("label")
    names = class_names(labels)
    longer = [name for name in found.names if _seconds(root / name) > own["seconds"]]
    return Source(
        labels=np.array([names.index(label) for label in labels], dtype=np.int64),
        split=np.array(own_split(found, config)),
        class_names=names,
        read=lambda index: codes(read_sound(root / found.names[index], found.names[index], mel, config), mel),
        names=found.names,
        skipped=found.skipped | ({"cut, longer than seconds": longer} if longer else {}),
        groups=found.column("group"),
        spectrogram={**mel.record(), "level": own["level"], "place": own["place"]},
    )


def read_sound(path: Path, name: str, mel: Mel, config: Mapping[str, Any]) -> Float[ndarray, " sample"]:
    """Return what of a recording is analysed, at the rate of the settings, `level: peak` with its largest sample at 1.

    It lies in the middle, or by `place: keyed` where seed and name say. Raises ClxaiError if the file is no wav or is silent.
    """
    rate, sound = read_wav(path)
    if rate != mel.rate:
        from scipy.signal import resample_poly

        common = gcd(rate, mel.rate)
        sound = resample_poly(sound, mel.rate // common, rate // common)
    own = config["arguments"]
    share = np.random.default_rng(key_of("place", config["seed"], name)).random() if own["place"] == "keyed" else 0.5
    sound = fitted(sound, mel.samples, share)
    peak = np.abs(sound).max()
    if peak == 0:
        raise ClxaiError(f"{path}: is silent, all of its samples are 0")
    return sound / peak if own["level"] == "peak" else sound


def _seconds(path: Path) -> float:
    """Return how long a recording is by its header; 0 of a file that is refused when it is read."""
    try:
        with wave.open(str(path)) as file:
            return file.getnframes() / file.getframerate()
    except (wave.Error, EOFError, OSError, ZeroDivisionError):  # samples that are no whole numbers, or no wav at all
        with suppress(ClxaiError):
            rate, samples = read_wav(path)
            return len(samples) / rate
        return 0.0


def read_wav(path: Path) -> tuple[int, Float[ndarray, " sample"]]:
    """Return the rate of a wav file and its samples in [-1, 1], the mean of its channels. Raises ClxaiError if it cannot."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks beside the sound
            rate, samples = wavfile.read(path)
    except (OSError, ValueError, EOFError, struct.error) as error:
        raise ClxaiError(f"{path}: not a readable wav file ({error})") from error
    if samples.size == 0:
        raise ClxaiError(f"{path}: has no samples")
    sound = samples.reshape(len(samples), -1).mean(axis=1)
    if samples.dtype.kind == "f":
        return rate, sound
    span = np.iinfo(samples.dtype)
    return rate, (sound - (128 if span.min == 0 else 0)) / (span.max / 2 if span.min == 0 else -float(span.min))
