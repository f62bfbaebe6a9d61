"""Generated sounds: what they promise, and that the evidence lies along the axis that tells the class."""

import numpy as np
import pytest
from clxai.data.mel import mel_settings
from clxai.data.sources.base import SOURCES
from clxai.data.sources.tones import sounds
from clxai.data.tones import check, extent
from clxai.errors import ClxaiError

N = 60


def entry(**arguments):
    """An entry of `datasets` as a job is given it."""
    rest = {"name": None, "path": None, "limit": {}, "test_fraction": 0.2, "val_fraction": 0.15, "seed": 0, "size": None}
    return {"source": "tones", **rest, "arguments": SOURCES["tones"].options({"images": 100, **arguments})}


@pytest.fixture(scope="module", params=["frequency", "time", "both"])
def heard(request):
    """A variant, images, masks and labels of its first sounds."""
    found = SOURCES["tones"].definition(entry(variant=request.param))
    images, masks = (np.stack([read(index) for index in range(N)]) for read in (found.read, found.evidence))
    return request.param, images, masks, found.labels[:N]


def test_evidence_lies_along_the_axis_of_its_variant(heard):
    """A tone fills rows, pulses fill columns, a chirp neither."""
    variant, _, masks, _ = heard
    rows, columns = masks.mean(axis=2).max(axis=1), masks.mean(axis=1).max(axis=1)
    if variant == "frequency":
        assert rows.min() > 0.7
        assert columns.max() < 0.5
    elif variant == "time":
        assert columns.min() > 0.5
        assert rows.max() < 0.5
    else:
        assert max(rows.max(), columns.max()) < 0.7
    assert masks.any(axis=(1, 2)).all()
    assert 0.01 < masks.mean() < 0.25


def test_evidence_alone_tells_the_class(heard):
    """By what its variant says: the mean row, the distance of the outermost columns, the direction of the row over time."""
    variant, _, masks, labels = heard
    told = []
    for mask in masks:
        y, x = np.nonzero(mask)
        slope = np.cov(x, y)[0, 1] / x.var() if variant == "both" else 0
        told.append({"frequency": y.mean(), "time": np.ptp(x), "both": slope}[variant])
    means = [np.mean(np.array(told)[labels == label]) for label in range(4)]
    assert (np.diff(means) > 0).all()
    middle = (np.array(means[1:]) + means[:-1]) / 2
    assert (np.digitize(told, middle) == labels).mean() > 0.9


def test_all_but_the_evidence_is_the_same_whatever_the_class(heard):
    given = entry(variant=heard[0])
    mel = mel_settings(given)
    (one, others), (two, same) = (sounds(5, label, given, mel) for label in (0, 3))
    np.testing.assert_array_equal(others, same)
    assert not np.array_equal(one, two)


def test_same_seed_gives_the_same_sounds_and_another_one_others(heard):
    variant, images, _, _ = heard
    again = SOURCES["tones"].definition(entry(variant=variant, images=300))
    np.testing.assert_array_equal(again.read(7), images[7])
    assert not np.array_equal(SOURCES["tones"].definition(entry(variant=variant) | {"seed": 1}).read(7), images[7])


def test_planning_knows_counts_and_size():
    given = entry(images=300) | {"size": [48, 64]}
    assert extent(given, "d") == ({"train": 204, "val": 36, "test": 60}, (48, 64))
    assert np.bincount(SOURCES["tones"].definition(given).split).tolist() == [204, 36, 60]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "times"}, r"d\.arguments\.variant: unknown variant 'times'. Did you mean 'time'"),
        ({"seconds": 0.2}, r"d\.arguments\.seconds must be at least 0.5. Got 0.2"),
        ({"n_fft": 32}, r"d\.size asks for 32 mels"),
    ],
)
def test_entries_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ClxaiError, match=message):
        check(entry(**changes), "d")
