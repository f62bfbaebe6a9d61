"""Npz files are read as promised, and refused with the file, what was found and what is allowed."""

import numpy as np
import pytest
from clxai.data.sources.base import SOURCES
from clxai.errors import ClxaiError


def medmnist(n=12, n_classes=3, splits=("train", "val", "test"), dtype=np.uint8, shape=(9, 9)):
    """Arrays as in a MedMNIST file: labels [image, 1], every class in every split."""
    rng = np.random.default_rng(0)
    scale = 256 if dtype == np.uint8 else 1.0
    arrays = {f"{name}_images": (rng.random((n, *shape)) * scale).astype(dtype) for name in splits}
    return arrays | {f"{name}_labels": (np.arange(n) % n_classes)[:, None].astype(np.uint8) for name in splits}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_npz_keeps_images_labels_and_its_own_splits(tmp_path, entry, dtype):
    arrays = medmnist(dtype=dtype)
    np.savez(tmp_path / "a.npz", **arrays)
    source = SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz")))
    assert source.class_names == ("0", "1", "2")
    assert source.split.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert source.labels.tolist() == [0, 1, 2] * 12
    scale = 1 if dtype == np.uint8 else 255
    np.testing.assert_array_equal(source.image(14, None)[0], np.rint(arrays["val_images"][2] * scale))


@pytest.mark.parametrize(("shape", "channels"), [((9, 9), 1), ((9, 9, 1), 1), ((9, 9, 3), 3), ((9, 9, 2), 2), ((9, 9, 16), 16)])
@pytest.mark.parametrize("size", [None, (6, 6), (18, 18), (18, 12)])
def test_npz_images_grey_or_colour_at_any_size(tmp_path, entry, shape, channels, size):
    np.savez(tmp_path / "a.npz", **medmnist(shape=shape))
    image = SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz"))).image(0, size)
    assert image.shape == (channels, *(size or (9, 9)))


def test_npz_ignores_arrays_that_are_not_images_or_labels(tmp_path, entry):
    np.savez(tmp_path / "a.npz", **medmnist(splits=("train",)), extra=np.arange(3))
    assert len(SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz"))).labels) == 12


def changed(**changes):
    arrays = {**medmnist(), **changes}
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (changed(train_images=None), r"a\.npz: train_images is missing or empty. Found: .*val_images"),
        ({}, r"a\.npz: train_images is missing or empty\. Found: nothing"),
        (
            {f"{what}_{part}": np.zeros(3) for what in "xy" for part in ("train", "test")},
            r"train_images is missing or empty\. Found: x_test, x_train, y_test, y_train\. Needed: train_images, train_labels;",
        ),
        (changed(train_labels=None), r"a\.npz: 12 train_images but 0 labels"),
        (changed(val_labels=np.zeros((12, 14), int)), r"a\.npz: 12 val_images but 168 labels, one each is needed"),
        (changed(test_labels=np.zeros(11, int)), r"a\.npz: 12 test_images but 11 labels"),
        (changed(val_images=np.full((12, 9, 9), np.nan)), r"a\.npz: val_images: 972 pixels are not finite"),
        (changed(train_images=np.full((12, 9, 9), 255.0)), r"a\.npz: train_images: float pixels must lie in \[0, 1\]"),
        (changed(test_images=np.zeros((12, 9, 9), int)), r"a\.npz: test_images: pixels must be uint8.*Found int64"),
        (
            changed(test_images=np.zeros((12, 9, 9), np.uint16)),
            r"Found uint16; where they are 0\.\.255 store array\.astype\('uint8'\), else \(array / white\)\.astype\('float32'\)",
        ),
        (medmnist(n=0), r"a\.npz: train_images is missing or empty"),
    ],
    ids=[
        "no_train",
        "nothing",
        "keras_names",
        "no_labels",
        "multi_label",
        "too_few",
        "nan",
        "0..255_floats",
        "int64",
        "uint16",
        "no_images",
    ],
)
def test_npz_refuses_arrays_of_another_layout(tmp_path, entry, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ClxaiError, match=message):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz")))


def corrupt(content):
    """Overwrite bytes in the middle: the archive opens, its checksum does not fit."""
    middle = len(content) // 3
    return content[:middle] + b"\x55" * 64 + content[middle + 64 :]


def encrypt(content):
    """Mark every member of the archive as encrypted."""
    parts = content.split(b"PK\x01\x02")
    return b"PK\x01\x02".join([parts[0], *(part[:4] + bytes([part[4] | 1]) + part[5:] for part in parts[1:])])


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-5],
        lambda content: content[:4],
        corrupt,
        encrypt,
        lambda content: b"no archive at all",
    ],
    ids=["half", "end_missing", "magic_only", "overwritten", "encrypted", "text"],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_refuses_a_damaged_file(tmp_path, entry, damage, save):
    path = tmp_path / "a.npz"
    save(path, **medmnist(n=60))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ClxaiError, match=r"a\.npz: not a readable npz file"):
        SOURCES["npz"].definition(entry("npz", path=str(path)))


def test_npz_refuses_a_plain_npy(tmp_path, entry):
    np.save(tmp_path / "a.npy", np.zeros((3, 9, 9), np.uint8))
    with pytest.raises(ClxaiError, match=r"a\.npy: not a readable npz file"):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npy")))


def test_npz_refuses_a_missing_and_an_empty_file(tmp_path, entry):
    (tmp_path / "empty.npz").touch()
    for name, message in (("empty.npz", "the file is empty"), ("missing.npz", "no such file")):
        with pytest.raises(ClxaiError, match=f"{name}: {message}"):
            SOURCES["npz"].definition(entry("npz", path=str(tmp_path / name)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_npz_with_its_channels_first_is_refused_with_the_remedy(tmp_path, entry, channels):
    np.savez(tmp_path / "a.npz", **medmnist(shape=(channels, 9, 9)))
    with pytest.raises(
        ClxaiError, match=rf"\[12, {channels}, 9, 9\] has its channels first; store array\.transpose\(0, 2, 3, 1\)"
    ):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz")))


@pytest.mark.parametrize(("channels", "side"), [(13, 20), (16, 17)])
def test_npz_with_many_channels_first_is_refused_too(tmp_path, entry, channels, side):
    np.savez(tmp_path / "a.npz", **medmnist(n=3, shape=(channels, side, side)))
    with pytest.raises(ClxaiError, match="has its channels first"):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz")))


@pytest.mark.parametrize("channels", [0, 17, 40])
def test_npz_with_more_channels_than_are_served_is_refused(tmp_path, entry, channels):
    np.savez(tmp_path / "a.npz", **medmnist(shape=(9, 9, channels)))
    with pytest.raises(ClxaiError, match=rf"train_images .* must have 1\.\.16 channels, last\. Found {channels}"):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz")))


def test_npz_never_unpickles(tmp_path, entry, harmful):
    folder, pickled = harmful
    np.savez(tmp_path / "a.npz", **changed(train_labels=pickled))
    with pytest.raises(ClxaiError, match=r"a\.npz: not a readable npz file"):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz")))
    assert not folder.exists()


@pytest.mark.parametrize("first", [0, 1, 5])
def test_npz_labels_are_counted_from_the_first_label(tmp_path, entry, first):
    arrays = {name: array + first * name.endswith("labels") for name, array in medmnist().items()}
    np.savez(tmp_path / "a.npz", **arrays)
    source = SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz"), first_label=first))
    assert source.labels.tolist() == [0, 1, 2] * 12
    assert source.class_names == tuple(str(first + label) for label in range(3))
    with pytest.raises(ClxaiError, match=rf"a\.npz: labels must begin at .*first_label, 9\. Found {first}\.\.{first + 2}"):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz"), first_label=9))


def test_npz_labels_from_one_are_refused_with_the_key_that_helps(tmp_path, entry):
    np.savez(tmp_path / "a.npz", **{name: array + name.endswith("labels") for name, array in medmnist().items()})
    with pytest.raises(ClxaiError, match=r"Found 1\.\.3; set `first_label: 1`"):
        SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz")))
