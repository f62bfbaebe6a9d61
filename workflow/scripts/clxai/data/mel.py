"""What a mel spectrogram is made by: settings of a data set of sounds, checked while planning. Nothing heavy is imported.

Options that every source of sounds has in `arguments`, beside `size`, [mels, frames]:

    rate    samples per second; recordings of another rate are resampled
    seconds length of what is analysed; shorter recordings are padded with silence, longer ones are cut
    n_fft   samples of the Hann window, even
    hop     samples between frames; 0: as many as let the frames span all seconds
    fmin, fmax   range of the filters in Hz; fmax 0: half the rate
    floor   level in dB below that of a sine of full scale which counts as silence, code 0
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from clxai.data.sizes import shape_of
from clxai.errors import ClxaiError
from clxai.registry import declared

SIDE = 32  # mels and frames where `size` is not given
_KNEE, _LINEAR = 1000.0, 200 / 3  # Slaney's scale is linear in Hz up to the knee,
_LOG = math.log(6.4) / 27  # and logarithmic above
_MOST_WINDOW = 2**16  # samples that are tried for advice


@dataclass(frozen=True)
class Mel:
    """Settings of a mel spectrogram: powers of 2, filters of equal area on Slaney's scale, dB to the level of a full sine."""

    rate: int  # Hz
    samples: int
    n_fft: int  # samples
    hop: int  # samples
    mels: int
    frames: int
    fmin: float  # Hz
    fmax: float  # Hz
    floor: float  # dB

    @property
    def ms_per_column(self) -> float:
        """Milliseconds from a frame to the next."""
        return 1000 * self.hop / self.rate

    @property
    def mel_per_row(self) -> float:
        """Mels (Slaney) from the centre of a filter to the next."""
        return (mel_of(self.fmax) - mel_of(self.fmin)) / (self.mels + 1)

    def edges(self) -> list[float]:
        """Return where filters begin, peak and end in Hz: filter m from item m over m + 1 to m + 2, equally spaced in mels."""
        low, step = mel_of(self.fmin), self.mel_per_row
        return [hz_of(low + number * step) for number in range(self.mels + 2)]

    def empty(self) -> list[int]:
        """Return the rows whose filter lies between two neighbouring bins, so that it is 0 whatever sounds."""
        edges, bin_width = self.edges(), self.rate / self.n_fft
        return [row for row in range(self.mels) if (math.floor(edges[row] / bin_width) + 1) * bin_width >= edges[row + 2]]

    def record(self) -> dict[str, Any]:
        """Return all that says what a cell of the spectrogram is, as plain values."""
        fixed = {"window": "hann", "scale": "slaney", "norm": "area", "power": 2, "reference": "sine of full scale"}
        steps = {"ms_per_column": self.ms_per_column, "mel_per_row": self.mel_per_row, "hz": self.edges()[1:-1]}
        return {**asdict(self), **fixed, "padding": "silence in the waveform", **steps}


def mel_of(hz: float) -> float:
    """Return a frequency in mels on Slaney's scale (Auditory Toolbox, 1998)."""
    return hz / _LINEAR if hz < _KNEE else _KNEE / _LINEAR + math.log(hz / _KNEE) / _LOG


def hz_of(mel: float) -> float:
    """Return a frequency on Slaney's scale in Hz."""
    knee = _KNEE / _LINEAR
    return mel * _LINEAR if mel < knee else _KNEE * math.exp((mel - knee) * _LOG)


def arguments_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of an entry of `datasets`, the defaults of its source filled in."""
    return {**declared("sources")[entry["source"]].semantics["options"], **entry["arguments"]}


def mel_settings(entry: Mapping[str, Any]) -> Mel:
    """Return the settings of an entry of `datasets`."""
    own, (mels, frames) = arguments_of(entry), shape_of(entry["size"]) or (SIDE, SIDE)
    rate, samples = own["rate"], round(own["seconds"] * own["rate"])
    hop, fmax = own["hop"] or samples // frames, own["fmax"] or rate / 2
    return Mel(rate, samples, own["n_fft"], hop, mels, frames, float(own["fmin"]), float(fmax), float(own["floor"]))


def check_mel(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError, naming the keys, if frames do not fit, frequencies are out of range or a filter would be empty."""
    mel, arguments = mel_settings(entry), f"{where}.arguments"
    if mel.n_fft % 2:
        raise ClxaiError(f"{arguments}.n_fft must be even. Got {mel.n_fft}")
    if not mel.fmin < mel.fmax <= mel.rate / 2:
        raise ClxaiError(
            f"{arguments}.fmin and fmax must be 0 <= fmin < fmax <= {mel.rate / 2:g} Hz, half of {arguments}.rate. "
            f"Got {mel.fmin:g} and {mel.fmax:g}"
        )
    if mel.hop < 1 or 1 + mel.samples // mel.hop < mel.frames:
        most = 1 + mel.samples // mel.hop if mel.hop else mel.samples
        raise ClxaiError(
            f"{where}.size asks for {mel.frames} frames, and {mel.samples} samples with a hop of {max(1, mel.hop)} have {most}: "
            f"lower {arguments}.hop (0: as many as fit), or raise {arguments}.seconds"
        )
    _check_filters(mel, where)


def _check_filters(mel: Mel, where: str) -> None:
    empty = mel.empty()
    if not empty:
        return
    longer = (mel.n_fft * 2**power for power in range(1, 20) if mel.n_fft * 2**power <= _MOST_WINDOW)
    enough = next((n_fft for n_fft in longer if not Mel(**{**asdict(mel), "n_fft": n_fft}).empty()), None)
    advice = f" (to {enough})" if enough else ""
    raise ClxaiError(
        f"{where}.size asks for {mel.mels} mels, and {len(empty)} of their filters (first: row {empty[0]}) hold no frequency of "
        f"{where}.arguments.n_fft {mel.n_fft} at rate {mel.rate}: raise n_fft{advice}, lower the mels, or narrow fmin to fmax"
    )
