"""What the generated sounds are, for planning: how many, of which size, with which evidence. Nothing is made."""

from collections.abc import Mapping
from typing import Any

from clxai.data.mel import arguments_of, check_mel, mel_settings
from clxai.data.planted import counts_of
from clxai.errors import ClxaiError, unknown_name

VARIANTS = ("frequency", "time", "both")  # along which axes of a spectrogram the class is told
SHORTEST = 0.5  # seconds in which the gaps of the variant `time` can be told apart


def check(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError unless the variant is known, sounds are long enough for it and their spectrograms can be made."""
    own = arguments_of(entry)
    if own["variant"] not in VARIANTS:
        raise ClxaiError(f"{where}.arguments.variant: {unknown_name('variant', own['variant'], VARIANTS)}")
    if own["seconds"] < SHORTEST:
        raise ClxaiError(f"{where}.arguments.seconds must be at least {SHORTEST}. Got {own['seconds']}")
    check_mel(entry, where)


def extent(entry: Mapping[str, Any], where: str) -> tuple[dict[str, int], tuple[int, int]]:
    """Return the images by split, and mels and frames of their spectrograms."""
    mel = mel_settings(entry)
    return counts_of(entry, arguments_of(entry)["images"]), (mel.mels, mel.frames)


def parts(entry: Mapping[str, Any]) -> int:
    """Return how many parts the evidence has."""
    return 1


def channels(entry: Mapping[str, Any]) -> int:
    """Return the channels of the images: a level in dB."""
    return 1
