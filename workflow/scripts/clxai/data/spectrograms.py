"""Mel spectrograms of waveforms, by numpy's FFT and filters on Slaney's scale, as 8 bits in which 0 is silence."""

from functools import cache

import numpy as np
from jaxtyping import Complex, Float, UInt8
from numpy import ndarray

from clxai.data.mel import Mel


@cache
def filters(mel: Mel) -> Float[ndarray, "mel bin"]:
    """Return triangles over the bins of the FFT, 2 / (width in Hz) at their peak: each has an area of 1 over Hz (Slaney 1998)."""
    edges, bins = np.array(mel.edges()), np.arange(mel.n_fft // 2 + 1) * (mel.rate / mel.n_fft)
    low, centre, high = (edges[shift : shift + mel.mels, None] for shift in range(3))
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clip(min=0)
    return triangles * 2 / (high - low)


def hann(n_fft: int) -> Float[ndarray, " sample"]:
    """Return the periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def stft(waveform: Float[ndarray, " sample"], n_fft: int, hop: int, frames: int) -> Complex[ndarray, "bin frame"]:
    """Return the Fourier transform of windows centred at multiples of `hop`; there is silence before and after the waveform."""
    padded = np.pad(waveform, n_fft // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[: hop * frames : hop][:frames]
    return np.fft.rfft(windows * hann(n_fft), axis=-1).T


def mel_power(waveform: Float[ndarray, " sample"], mel: Mel) -> Float[ndarray, "mel frame"]:
    """Return the power in each filter and frame."""
    return filters(mel) @ np.abs(stft(waveform, mel.n_fft, mel.hop, mel.frames)) ** 2


@cache
def full_scale(mel: Mel) -> float:
    """Return the greatest power that a steady sine of amplitude 1, centred on a bin, has in a filter: the level of 0 dB.

    A Hann window gives a quarter of the power of its bin to either neighbour.
    """
    weights = np.pad(filters(mel), ((0, 0), (1, 1)))
    seen = weights[:, 1:-1] + (weights[:, :-2] + weights[:, 2:]) / 4
    return float(seen.max()) * (hann(mel.n_fft).sum() / 2) ** 2


def decibels(waveform: Float[ndarray, " sample"], mel: Mel) -> Float[ndarray, "mel frame"]:
    """Return levels in dB relative to a sine of full scale, at least minus the floor."""
    least = 10 ** (-mel.floor / 10)
    return 10 * np.log10(np.maximum(mel_power(waveform, mel) / full_scale(mel), least))


def codes(waveform: Float[ndarray, " sample"], mel: Mel) -> UInt8[ndarray, "mel frame"]:
    """Return the spectrogram in steps of floor / 255 dB: 0 is the floor and silence, 255 a sine of full scale and above.

    Row 0 has the lowest frequencies.
    """
    return np.rint(255 * (1 + decibels(waveform, mel) / mel.floor)).clip(0, 255).astype(np.uint8)


def fitted(waveform: Float[ndarray, " any"], samples: int, place: float = 0.5) -> Float[ndarray, " sample"]:
    """Return a waveform of `samples`: padded with zeros, or cut, with the share `place` of the difference before it."""
    slack = samples - len(waveform)
    before = int(place * (abs(slack) + 1)) if place < 1 else abs(slack)
    return np.pad(waveform, (before, slack - before)) if slack >= 0 else waveform[before : before + samples]
