"""Mel spectrograms are those of the definitions: Slaney's scale and filters, levels to a full sine, silence at code 0."""

import json

import numpy as np
import pytest
from clxai.data.mel import Mel, check_mel, hz_of, mel_of, mel_settings
from clxai.data.spectrograms import codes, decibels, filters, fitted, mel_power, stft
from clxai.errors import ClxaiError
from scipy import signal

SPEECH = Mel(rate=8000, samples=8000, n_fft=256, hop=250, mels=32, frames=32, fmin=0.0, fmax=4000.0, floor=80.0)


def entry(size=None, **arguments):
    return {"source": "wav", "size": size, "arguments": arguments}


def sine(mel, hz, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(mel.samples) / mel.rate)


@pytest.mark.parametrize(
    ("hz", "mel"), [(0.0, 0.0), (200.0, 3.0), (1000.0, 15.0), (6400.0, 42.0), (1000 * 6.4 ** (1 / 27), 16.0)]
)
def test_scale_has_the_closed_values_of_slaney(hz, mel):
    assert mel_of(hz) == pytest.approx(mel, abs=1e-12)
    assert hz_of(mel) == pytest.approx(hz, abs=1e-9)


@pytest.mark.parametrize("setting", [(8000, 256, 32), (16000, 512, 40), (22050, 2048, 128)])
def test_filters_equal_triangles_drawn_by_interpolation(setting):
    rate, n_fft, mels = setting
    mel = Mel(rate, rate, n_fft, 100, mels, 10, 0.0, rate / 2, 80.0)
    points = np.interp(np.linspace(0, mel_of(rate / 2), mels + 2), [mel_of(float(hz)) for hz in range(rate)], range(rate))
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    expected = [np.interp(bins, points[m : m + 3], [0, 2 / (points[m + 2] - points[m]), 0]) for m in range(mels)]
    np.testing.assert_allclose(filters(mel), expected, atol=2e-4 * np.max(expected))


def test_filters_have_the_values_that_librosa_documents():
    """`librosa.filters.mel(sr=22050, n_fft=2048)`: the first row begins 0, 0.016, and has no more than a few bins."""
    first = filters(Mel(22050, 22050, 2048, 512, 128, 10, 0.0, 11025.0, 80.0))[0]
    assert first[:2].round(3).tolist() == [0.0, 0.016]
    assert np.count_nonzero(first) < 6


def test_filters_have_an_area_of_1_over_hz():
    wide = Mel(8000, 8000, 4096, 250, 16, 32, 0.0, 4000.0, 80.0)
    np.testing.assert_allclose(filters(wide).sum(axis=1) * wide.rate / wide.n_fft, 1, rtol=5e-3)


def test_transform_is_that_of_scipy():
    """Which divides by the sum of the window, 128."""
    sound = np.random.default_rng(0).normal(size=SPEECH.samples)
    _, _, theirs = signal.stft(sound, window="hann", nperseg=256, noverlap=6, boundary="zeros", padded=False)
    np.testing.assert_allclose(
        stft(sound, 256, 250, 32), theirs[:, :32] * 128, atol=1e-10
    )  # theirs is divided by the window's sum


def test_full_sine_has_0_db_and_a_weaker_one_its_level():
    """In the middle of the sound, at the bin where the narrowest filters peak."""
    loudest = int(filters(SPEECH).max(axis=0).argmax()) * SPEECH.rate / SPEECH.n_fft
    levels = decibels(sine(SPEECH, loudest), SPEECH)
    assert levels[:, 2:-2].max() == pytest.approx(0, abs=0.01)
    weaker = decibels(sine(SPEECH, loudest, amplitude=0.01), SPEECH)
    assert weaker[:, 2:-2].max() == pytest.approx(-40, abs=0.01)
    assert codes(sine(SPEECH, loudest, 0.01), SPEECH)[:, 2:-2].max() == round(255 * 40 / 80)
    assert codes(sine(SPEECH, loudest, 4.0), SPEECH).max() == 255


def test_sine_peaks_in_the_row_of_its_frequency_and_row_0_is_lowest():
    centres = SPEECH.record()["hz"]
    for row in (2, 10, 25):
        assert mel_power(sine(SPEECH, centres[row]), SPEECH)[:, 16].argmax() == row


def test_silence_is_code_0_exactly_and_padding_is_silence():
    assert codes(np.zeros(SPEECH.samples), SPEECH).max() == 0
    short = fitted(sine(SPEECH, 440)[:2000], SPEECH.samples)
    picture = codes(short, SPEECH)
    assert picture[:, :11].max() == picture[:, 21:].max() == 0  # 3,000 samples of silence at either side
    assert picture[:, 13:20].max() > 100


@pytest.mark.parametrize(("samples", "place", "first"), [(10, 0.5, 3), (4, 0.5, 0), (10, 0.0, 0), (10, 0.999, 6)])
def test_fitted_pads_with_zeros_at_both_sides(samples, place, first):
    found = fitted(np.ones(4), samples, place)
    assert found.tolist() == [0] * first + [1] * 4 + [0] * (samples - first - 4)


def test_fitted_cuts_what_is_longer():
    assert fitted(np.arange(10.0), 4).tolist() == [3, 4, 5, 6]


def test_hop_lets_the_frames_span_the_sound():
    assert (mel_settings(entry()).hop, mel_settings(entry(size=[64, 128])).hop) == (250, 62)
    assert mel_settings(entry(size=[64, 128])).mels == 64
    assert SPEECH.ms_per_column == 31.25


def test_record_says_all_and_is_plain():
    record = json.loads(json.dumps(SPEECH.record()))
    assert {"rate", "n_fft", "hop", "mels", "fmin", "fmax", "floor", "scale", "norm", "reference", "padding"} <= set(record)
    assert len(record["hz"]) == 32
    steps = np.diff([mel_of(hz) for hz in record["hz"]])
    np.testing.assert_allclose(steps, record["mel_per_row"])


@pytest.mark.parametrize(
    ("given", "n_empty"), [((8000, 256, 128), 0), ((16000, 256, 128), 13), ((48000, 256, 128), 34), ((48000, 512, 128), 13)]
)
def test_empty_filters_are_counted_as_they_are(given, n_empty):
    rate, n_fft, mels = given
    mel = Mel(rate, rate, n_fft, 100, mels, 10, 0.0, rate / 2, 80.0)
    assert len(mel.empty()) == n_empty
    assert np.flatnonzero(filters(mel).max(axis=1) == 0).tolist() == mel.empty()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": [128, 32], "rate": 16000}, r"d\.size asks for 128 mels, and 13 of .* row \d+.*d\.arguments\.n_fft 256.*to 512"),
        ({"fmax": 5000.0}, r"d\.arguments\.fmin and fmax must be .* <= 4000 Hz, half of d\.arguments\.rate. Got 0 and 5000"),
        ({"fmin": 3000.0, "fmax": 2000.0}, r"d\.arguments\.fmin and fmax"),
        ({"hop": 500}, r"d\.size asks for 32 frames, .* 8000 samples with a hop of 500 have 17: lower d\.arguments\.hop"),
        ({"seconds": 0.002}, r"d\.size asks for 32 frames, .*raise d\.arguments\.seconds"),
        ({"n_fft": 255}, r"d\.arguments\.n_fft must be even"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_their_keys(changes, message):
    with pytest.raises(ClxaiError, match=message):
        check_mel(entry(**changes), "d")
