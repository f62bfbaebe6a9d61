"""Planted data: what they promise, and that nothing but the evidence tells the class."""

from dataclasses import replace

import numpy as np
import pytest
from clxai.data.datasets import open_prepared
from clxai.data.planted import extent
from clxai.data.preparing import prepare
from clxai.data.sources.base import SOURCES
from clxai.data.sources.planted import _Painter
from clxai.errors import ClxaiError
from clxai.planning.extents import parts_of
from project import changed, check, filled_config
from scipy import ndimage, stats
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

VARIANTS = {"plain": 1, "shortcut": 2, "redundant": 2}


def entry(**arguments):
    """An entry of `datasets` as a job is given it."""
    rest = {"name": None, "path": None, "limit": {}, "test_fraction": 0.2, "val_fraction": 0.15, "seed": 0, "fold": None}
    return {"source": "planted", "size": 32, **rest, "arguments": {"images": 100, **arguments}}


def source(**arguments):
    return SOURCES["planted"].definition(entry(**arguments))


@pytest.fixture(scope="module", params=VARIANTS)
def painted(request):
    """Images, masks and the source of 400 images of a variant."""
    found = source(images=400, variant=request.param)
    return np.stack([found.read(i) for i in range(400)]), np.stack([found.evidence(i) for i in range(400)]), found


def test_same_seed_gives_the_same_images_whatever_their_number(painted):
    images, masks, _ = painted
    if masks.max() == 1:
        again, other = source(images=400), SOURCES["planted"].definition(entry(images=400) | {"seed": 1})
        assert all(np.array_equal(again.read(i), images[i]) and np.array_equal(again.evidence(i), masks[i]) for i in (0, 7, 399))
        assert not any(np.array_equal(other.read(i), images[i]) for i in range(20))


def test_labels_are_balanced_and_splits_are_those_that_planning_expects(painted):
    _, _, found = painted
    assert np.ptp(np.bincount(found.labels)) == 0
    assert np.bincount(found.split).tolist() == list(extent(entry(images=400), "datasets.planted")[0].values()) == [272, 48, 80]


def test_digits_of_the_splits_are_disjoint_and_complete():
    pools = _Painter.of(entry()).pools
    digits = [np.concatenate(pools[split]) for split in range(3)]
    assert np.array_equal(np.sort(np.concatenate(digits)), np.arange(1797))
    for split, target in ((split, load_digits().target[digits[split]]) for split in range(3)):
        assert all(len(pools[split][label]) == (target == label).sum() for label in range(10)), split


@pytest.mark.parametrize("variant", ["plain", "redundant"])
def test_evidence_is_where_the_digit_changes_the_image_and_one_pixel_around(variant):
    painter = replace(_Painter.of(entry(variant=variant)), n_distractors=0)
    blank = replace(painter, digits=np.zeros_like(painter.digits))
    for index in range(20):
        image, mask = painter.paint(index, 3, 0)
        inked = image != blank.paint(index, 3, 0)[0]
        np.testing.assert_array_equal(mask > 0, ndimage.binary_dilation(inked, np.ones((3, 3))))


@pytest.mark.parametrize(("variant", "n_parts"), VARIANTS.items())
def test_parts_are_numbered_from_1_and_do_not_overlap(variant, n_parts):
    found = source(variant=variant)
    for index in range(30):
        mask = found.evidence(index)
        assert set(np.unique(mask)) == set(range(n_parts + 1))
        for part in range(1, n_parts + 1):
            y, x = np.nonzero(mask == part)
            assert max(np.ptp(y), np.ptp(x)) <= 9  # a patch of 8 px and a pixel around it


def test_redundant_digits_are_the_same():
    painter = _Painter.of(entry(variant="redundant"))
    _, mask = painter.paint(0, 2, 0)
    areas = [(mask == part).sum() for part in (1, 2)]
    assert abs(areas[0] - areas[1]) <= 10  # at the border of the image a pixel around a stroke is cut off


def test_code_of_the_shortcut_is_the_same_in_all_images_of_a_class_and_in_no_other():
    from clxai.data.sources.planted import _code

    codes = np.stack([_code(label) for label in range(10)])
    assert np.array_equal(codes, np.stack([_code(label) for label in range(10)]))
    assert len({code.tobytes() for code in codes}) == 10
    np.testing.assert_allclose(codes.mean((1, 2)), 0.5)


def test_first_digit_lies_anywhere_with_equal_probability():
    painter = _Painter.of(entry())
    corners = []
    for index in range(800):
        _, mask = painter.paint(index, 0, 0)  # a 0 fills all rows of its patch
        corners.append(ndimage.find_objects(mask)[0][0].start)
    lowest = np.array(corners)  # a row above the patch, cut off at the border: 0, 0, 1, .., 23
    counts = np.bincount(lowest, minlength=24)
    assert stats.chisquare(counts, 800 * np.array([2, *[1] * 23]) / 25).pvalue > 1e-3


def test_pixels_tell_no_class_and_least_of_all_without_the_evidence(painted):
    images, masks, found = painted
    if masks.max() == 1:
        hidden = np.where(ndimage.maximum_filter(masks, (1, 5, 5)) > 0, 80, images).reshape(400, -1) / 255
        votes = KNeighborsClassifier(5).fit(hidden[found.split == 0], found.labels[found.split == 0])
        assert votes.score(hidden[found.split > 0], found.labels[found.split > 0]) < 0.2


def test_another_class_leaves_all_but_the_evidence_alone():
    painter = _Painter.of(entry(variant="shortcut"))
    (image, mask), (other, other_mask) = (painter.paint(5, label, 0) for label in (1, 6))
    outside = (mask == 0) & (other_mask == 0)
    assert outside.mean() > 0.7
    np.testing.assert_array_equal(image[outside], other[outside])


def test_ink_is_no_brighter_in_digits_than_in_distractors(painted):
    images, masks, _ = painted
    if masks.max() == 1:
        bright = images > 170
        assert 0.15 < (bright & (masks > 0)).sum() / bright.sum() < 0.35  # one patch of four


def test_evidence_is_stored_with_the_labels_and_others_have_none(tmp_path):
    prepare(entry(variant="redundant"), tmp_path / "images.npy", tmp_path / "labels.nc")
    data = open_prepared("planted", tmp_path / "images.npy", tmp_path / "labels.nc")
    found = source(variant="redundant")
    np.testing.assert_array_equal(data.images[:][:, 0], np.stack([found.read(i) for i in range(100)]))
    np.testing.assert_array_equal(data.evidence, np.stack([found.evidence(i) for i in range(100)]))
    assert (tmp_path / "labels.nc").stat().st_size < data.evidence.nbytes / 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"arguments": {"variant": "plane"}}, r"arguments.variant: .*'plane'.*plain"),
        ({"arguments": {"images": 20}}, "arguments.images must be >= 100. Got 20"),
        ({"arguments": {"distractors": 9}}, "size must be larger, or .*distractors smaller: 10 patches"),
        ({"size": [16, 32]}, r"4 patches .*\[16, 32\] is for 3"),
        ({"arguments": {"colour": "red"}}, "colour"),
    ],
)
def test_impossible_entries_are_refused_while_planning(changes, error):
    config = filled_config()
    config["datasets"]["digits"] = {**config["datasets"]["digits"], "source": "planted", "size": 32, **changes}
    with pytest.raises(ClxaiError, match=error):
        check(config)


@pytest.mark.parametrize(
    ("source_name", "options", "error"),
    [
        ("digits", {}, "method 'oracle' needs data whose evidence is known. Got data set 'digits' of source 'digits'"),
        ("planted", {"part": 2}, "methods.oracle.part must be at most 1, the parts of the evidence of 'digits'. Got 2"),
    ],
)
def test_oracle_is_refused_without_the_evidence_that_it_shows(source_name, options, error):
    methods = {"study.methods": ["random", "oracle"], "methods.oracle": options, "datasets.digits.source": source_name}
    config = changed(filled_config(), {**methods, "datasets.digits.size": 32})
    with pytest.raises(ClxaiError, match=error):
        check(config)
    check(changed(config, {"datasets.digits.source": "planted", "methods.oracle": {"part": 1}}))


def npz_entry(folder, **arrays):
    """An entry of `datasets` for an npz file of 60 images of two classes, and its arrays."""
    rng, labels = np.random.default_rng(0), np.arange(60) % 2
    there = {"train_images": rng.integers(0, 255, (60, 12, 16), dtype=np.uint8), "train_labels": labels, **arrays}
    np.savez(folder / "a.npz", **there)
    rest = {
        "name": None,
        "limit": {},
        "test_fraction": 0.2,
        "val_fraction": 0.15,
        "seed": 0,
        "fold": None,
        "first_label": 0,
        "arguments": {},
    }
    return {"source": "npz", "path": str(folder / "a.npz"), "size": None, **rest}


@pytest.mark.parametrize("size", [None, [24, 32], [10, 10]])
def test_npz_file_brings_its_own_evidence_which_is_resized_as_the_images_are(tmp_path, size):
    evidence = np.zeros((60, 12, 16), np.uint8)
    evidence[:, 3:6, 4:8], evidence[:, 6:9, 8:12] = 1, 2
    given = npz_entry(tmp_path, train_evidence=evidence) | {"size": size}
    prepare(given, tmp_path / "images.npy", tmp_path / "labels.nc")
    found = open_prepared("own", tmp_path / "images.npy", tmp_path / "labels.nc").evidence
    assert found.shape == (60, *(size or (12, 16)))
    assert set(np.unique(found)) == {0, 1, 2}
    if size is None:
        np.testing.assert_array_equal(found, evidence)
    elif size == [24, 32]:
        np.testing.assert_array_equal(found, evidence.repeat(2, 1).repeat(2, 2))
    assert parts_of(given) == 255


def test_npz_file_without_evidence_has_none(tmp_path):
    given = npz_entry(tmp_path)
    prepare(given, tmp_path / "images.npy", tmp_path / "labels.nc")
    assert open_prepared("own", tmp_path / "images.npy", tmp_path / "labels.nc").evidence is None
    assert parts_of(given) == 0


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        ({"train_evidence": np.zeros((60, 12, 15), np.uint8)}, r"train_evidence must be uint8 .*\[60, 12, 16\]"),
        ({"train_evidence": np.zeros((60, 12, 16))}, r"train_evidence must be uint8 .*float64"),
        (
            {
                "test_images": np.zeros((2, 12, 16), np.uint8),
                "test_labels": np.arange(2),
                "train_evidence": np.ones((60, 12, 16), "u1"),
            },
            "for each split or for none. Found that of train",
        ),
    ],
)
def test_evidence_that_is_no_mask_for_each_image_is_refused(tmp_path, arrays, error):
    with pytest.raises(ClxaiError, match=error):
        parts_of(npz_entry(tmp_path, **arrays))
