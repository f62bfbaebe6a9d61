"""Recordings become spectrograms with the labels and groups that their names tell, or are refused with what was found."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from clxai.data.datasets import open_prepared
from clxai.data.preparing import prepare
from clxai.data.recordings import extent, files, scan
from clxai.data.sources.base import SOURCES
from clxai.data.sources.wav import read_wav
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from clxai.planning.extents import check_source
from scipy.io import wavfile

RATE = 8000
PATTERN = "{group}/{label}_{group}_{index}.wav"


def tone(hz, seconds=0.4, rate=RATE):
    return np.rint(8000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


@pytest.fixture
def folder(tmp_path):
    """Two words by four speakers, three times each: folders are speakers, as in AudioMNIST."""
    for place, speaker in enumerate(("ada", "ben", "cy", "dee")):
        (tmp_path / "words" / speaker).mkdir(parents=True)
        for take in range(3):
            for word, hz in (("2", 300), ("10", 1500)):
                wavfile.write(tmp_path / "words" / speaker / f"{word}_{speaker}_{take}.wav", RATE, tone(hz + 20 * place + take))
    (tmp_path / "words" / "readme.txt").write_text("words")
    return tmp_path


@pytest.fixture
def words(folder, entry):
    def make(pattern=PATTERN, size=None, **changes):
        arguments = {"pattern": pattern, **changes.pop("arguments", {})}
        return entry("wav", path=str(folder / "words"), arguments=arguments, size=size, **changes)

    return make


def prepared(given, folder):
    table = prepare(given, folder / "images.npy", folder / "labels.nc")
    return table.set_index("reason")["count"], open_prepared("words", folder / "images.npy", folder / "labels.nc")


def test_labels_and_groups_come_from_named_fields_and_speakers_stay_apart(words, folder):
    given = words(fold=[0, 4], arguments={"expect_classes": 2, "expect_groups": 4, "expect_recordings": 24})
    check_source(given, "d")
    counts, data = prepared(given, folder)
    assert data.class_names == ("2", "10")
    assert counts.to_dict() == {"read": 24, "other suffix": 1, "groups in train": 2, "groups in val": 1, "groups in test": 1}
    assert [len(data.indices(name)) for name in SPLITS] == list(extent(given, "d")[0].values()) == [12, 6, 6]
    assert data.names[0] == "ada/10_ada_0.wav"
    assert (data.groups[0], data.labels[0]) == ("ada", 1)
    loudest = np.asarray(data.images)[:, 0].max(axis=2).argmax(axis=1)
    assert loudest[data.labels == 0].max() < loudest[data.labels == 1].min()


def test_what_a_cell_is_is_stored_with_the_labels(words, folder):
    _, data = prepared(words(size=[16, 40]), folder)
    assert data.images.shape == (24, 1, 16, 40)
    record = data.spectrogram
    assert (record["mels"], record["frames"], record["hop"], record["ms_per_column"]) == (16, 40, 200, 25.0)
    assert (record["level"], record["place"], len(record["hz"])) == ("peak", "centre", 16)


def test_silence_around_a_recording_is_code_0(words, folder):
    _, data = prepared(words(), folder)
    assert np.asarray(data.images)[..., :8].max() == 0  # 0.3 s before the sound, less half a window


def test_keyed_place_moves_recordings_the_same_way_at_every_resolution(words):
    columns = []
    for frames in (32, 64):
        given = words(size=[32, frames], arguments={"place": "keyed"})
        source = SOURCES["wav"].definition({**given, "arguments": SOURCES["wav"].options(given["arguments"])})
        columns.append([(np.flatnonzero(source.read(index).max(axis=0) > 100)[0] * 32 / frames) for index in range(8)])
    assert len(set(columns[0])) > 3
    np.testing.assert_allclose(*columns, atol=1.5)


def test_test_recordings_by_their_index_share_speakers_and_that_must_be_accepted(words, folder):
    given = words(arguments={"test_below": 1})
    with pytest.raises(ClxaiError, match=r"4 groups lie in train and in test .*mixed_groups: true"):
        extent(given, "d")
    _, data = prepared({**given, "mixed_groups": True}, folder)
    assert sorted(data.names[data.indices("test")])[:2] == ["ada/10_ada_0.wav", "ada/2_ada_0.wav"]
    assert len(data.indices("test")) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": ""}, r"d\.arguments\.pattern must name the class by \{label\}, such as"),
        ({"pattern": "{speaker}_{take}.wav"}, r"d\.arguments\.pattern must name the class by \{label\}"),
        ({"pattern": "{label}_{.wav"}, r"is no pattern of file names"),
        ({"pattern": "{label}-{take}.wav"}, r"no file below .*words is called like .*24 of another name \(ada/10_ada_0\.wav\)"),
        (
            {"pattern": "{label}/{word}_{group}_{take}.wav", "arguments": {"expect_classes": 2}},
            r"d\.arguments\.expect_classes is 2, .* finds 4 in 24 recordings: ada",
        ),
        ({"arguments": {"expect_groups": 6}}, r"d\.arguments\.expect_groups is 6, .* finds 4 in 24"),
        ({"arguments": {"place": "start"}}, r"d\.arguments\.place must be centre or keyed. Got 'start'"),
        ({"pattern": "{group}/{label}_{group}_{take}.wav", "arguments": {"test_below": 2}}, r"needs the field \{index\}"),
        ({"size": [128, 32], "arguments": {"n_fft": 64}}, r"d\.size asks for 128 mels"),
    ],
)
def test_entries_that_cannot_work_are_refused_while_planning(words, changes, message):
    with pytest.raises(ClxaiError, match=message):
        check_source(words(**changes), "d")


def test_planning_watches_the_recordings_alone(words):
    assert len(files(words())) == 24
    assert list(scan(words()).skipped) == ["other suffix"]


def test_cut_recordings_are_reported(words, folder):
    counts, _ = prepared(words(arguments={"seconds": 0.3}), folder)
    assert counts["cut, longer than seconds"] == 24


@pytest.mark.parametrize("sound", [np.zeros(400, np.int16), None])
def test_silent_and_broken_recordings_are_refused_together(words, folder, sound):
    path = folder / "words" / "ada" / "2_ada_1.wav"
    path.write_bytes(b"RIFF") if sound is None else wavfile.write(path, RATE, sound)
    with pytest.raises(ClxaiError, match=r"1 of 24 images cannot be used: .*2_ada_1\.wav: (is silent|not a readable)"):
        prepared(words(), folder)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_samples_of_every_type_are_read_in_minus_1_to_1(tmp_path, dtype):
    half = {np.uint8: 192, np.int16: 2**14, np.int32: 2**30, np.float32: 0.5}[dtype]
    wavfile.write(tmp_path / "a.wav", RATE, np.full((100, 2), half, dtype))
    rate, sound = read_wav(tmp_path / "a.wav")
    assert (rate, sound.shape) == (RATE, (100,))
    np.testing.assert_allclose(sound, 0.5, atol=0.005)


def test_recordings_of_another_rate_are_resampled(words, folder):
    path = folder / "words" / "ada" / "2_ada_0.wav"
    before = SOURCES["wav"].definition(full(words())).read(3)
    wavfile.write(path, 48000, tone(300, rate=48000))
    after = SOURCES["wav"].definition(full(words())).read(3)
    inside = (slice(None), slice(11, 21))  # at the ends of the sound the filter of the resampling rings
    np.testing.assert_allclose(after[inside][:12].astype(int), before[inside][:12].astype(int), atol=3)


def full(given):
    return {**given, "arguments": SOURCES["wav"].options(given["arguments"])}


@pytest.fixture(scope="module")
def spoken_digits(tmp_path_factory):
    """The first three recordings of each digit by each of the six speakers of the Free Spoken Digit Dataset."""
    packed = Path(os.environ.get("CLXAI_TEST_DATA", "absent"), "fsdd", "fsdd_recordings.tar.xz")
    if not packed.is_file():
        pytest.skip("set CLXAI_TEST_DATA to a folder with fsdd/fsdd_recordings.tar.xz")
    root = tmp_path_factory.mktemp("fsdd")
    with tarfile.open(packed) as archive:
        wanted = [member for member in archive if member.name.endswith(("_0.wav", "_1.wav", "_2.wav"))]
        archive.extractall(root, wanted, filter="data")
    return root


@pytest.mark.campaign
def test_published_spoken_digits_are_read_as_they_are_named(spoken_digits, entry, tmp_path):
    arguments = {"pattern": "recordings/{label}_{group}_{index}.wav", "expect_classes": 10, "expect_groups": 6}
    given = entry("wav", path=str(spoken_digits), arguments=arguments, fold=[0, 6])
    check_source(given, "d")
    _, data = prepared(given, tmp_path)
    assert data.class_names == tuple("0123456789")
    assert [len(set(data.groups[data.indices(name)].tolist())) for name in SPLITS] == [4, 1, 1]
    silent = (np.asarray(data.images) == 0).mean()
    assert 0.45 < silent < 0.65  # more than half of the cells are silence, as measured by another implementation
