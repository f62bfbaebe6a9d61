"""Data sources read what they promise and refuse the rest with the file, what was found and what is allowed."""

import os
import re
import struct
import zlib

import numpy as np
import pytest
from clxai.data.preparing import found_in
from clxai.data.sources.base import SOURCES, Source, resize, to_uint8
from clxai.data.torchvision_sets import NEEDS, REFUSED, check, parameters, set_names
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from PIL import Image


def medmnist(n=12, n_classes=3, splits=("train", "val", "test"), dtype=np.uint8, shape=(9, 9)):
    """Arrays as in a MedMNIST file: labels [image, 1], every class in every split."""
    rng = np.random.default_rng(0)
    scale = 256 if dtype == np.uint8 else 1.0
    arrays = {f"{name}_images": (rng.random((n, *shape)) * scale).astype(dtype) for name in splits}
    return arrays | {f"{name}_labels": (np.arange(n) % n_classes)[:, None].astype(np.uint8) for name in splits}


def test_digits_are_the_1797_of_scikit_learn_on_the_full_grey_scale(entry):
    from sklearn.datasets import load_digits

    source, bunch = SOURCES["digits"].definition(entry("digits")), load_digits()
    assert len(source.labels) == 1797
    np.testing.assert_array_equal(source.labels, bunch.target)
    np.testing.assert_allclose(source.image(5, None)[0] / 255, bunch.images[5] / 16, atol=0.5 / 255)
    assert source.image(5, (24, 24)).shape == (1, 24, 24)


@pytest.mark.parametrize("size", [20, [16, 24]])
def test_digits_refuse_a_size_that_splits_pixels(entry, size):
    with pytest.raises(ClxaiError, match=rf"size must be a multiple of 8, the side of a digit\. Got {re.escape(str(size))}"):
        SOURCES["digits"].definition(entry("digits", size=size))


def test_resize_by_a_whole_factor_repeats_pixels():
    pixels = np.arange(4, dtype=np.uint8).reshape(2, 2)
    assert resize(pixels, (4, 4)).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (20, 20), (17, 16, 3), (9, 31, 1)])
@pytest.mark.parametrize("asked", [(16, 16), (16, 24), (31, 9)])
def test_resize_gives_the_asked_height_and_width(shape, asked):
    pixels = np.full(shape, 77, dtype=np.uint8)
    resized = resize(pixels, asked)
    assert resized.shape[:2] == asked
    assert (resized == 77).all()


def test_resize_of_an_oblong_keeps_its_centre():
    pixels = np.zeros((10, 30), dtype=np.uint8)
    pixels[:, 10:20] = 255
    assert (resize(pixels, (10, 10)) == 255).all()


def test_resize_of_a_square_to_an_oblong_keeps_proportions_and_centre():
    """A 30 x 30 image with a white band in its middle third becomes 10 x 30: the band alone."""
    pixels = np.zeros((30, 30), dtype=np.uint8)
    pixels[10:20] = 255
    assert (resize(pixels, (10, 30)) == 255).all()


def test_resize_of_an_oblong_by_a_whole_factor_repeats_pixels():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (resize(pixels, (4, 6)) == pixels.repeat(2, 0).repeat(2, 1)).all()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_image_refuses_other_than_two_or_three_axes(shape):
    source = Source(np.zeros(1, np.int64), np.zeros(1, np.int64), ("a", "b"), lambda index: np.zeros(shape, np.uint8))
    with pytest.raises(ClxaiError, match=r"image 0: expected \[y, x\] or \[y, x, channel\], found shape \(" + str(shape[0])):
        source.image(0, None)


def test_to_uint8_maps_the_unit_interval_to_all_grey_levels():
    assert to_uint8(np.array([0.0, 1 / 255, 0.5, 1.0]), "x").tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ([0.5, np.nan, np.inf], "x: 2 pixels are not finite"),
        ([0.5, 1.5], r"x: float pixels must lie in \[0, 1\]. Found \[0.5, 1.5\]"),
        ([-0.25, 1.0], r"x: float pixels must lie in \[0, 1\]. Found \[-0.25, 1\]"),
        ([3, 4], r"x: pixels must be uint8, or float in \[0, 1\]. Found int64"),
    ],
)
def test_to_uint8_refuses(pixels, message):
    with pytest.raises(ClxaiError, match=message):
        to_uint8(np.array(pixels), "x")


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


def write_image(path, value, mode="RGB", size=(10, 12), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **options)


def test_folder_of_classes_names_them_sorted(tmp_path, entry):
    for name, value in (("wolf", (9, 0, 0)), ("cat", (0, 7, 0))):
        for number in range(2):
            write_image(tmp_path / name / f"{number}.png", value)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))
    assert source.class_names == ("cat", "wolf")
    assert source.labels.tolist() == [0, 0, 1, 1]
    assert source.split.tolist() == [0] * 4
    assert source.image(2, (8, 8)).tolist() == [[[9] * 8] * 8, [[0] * 8] * 8, [[0] * 8] * 8]
    assert source.image(0, None).shape == (3, 12, 10)


def test_folder_with_its_own_splits(tmp_path, entry):
    for split, n_images in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            for number in range(n_images):
                write_image(tmp_path / split / name / f"{number}.JPG", 5, mode="L", format="jpeg")
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))
    assert source.split.tolist() == [0] * 6 + [2] * 4
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]


def test_folder_grey_gives_one_channel(tmp_path, entry):
    write_image(tmp_path / "a" / "0.png", (255, 255, 255, 255), mode="RGBA")
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path), grey=True))
    assert source.image(0, (8, 8)).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("mode", "value", "message"),
    [
        ("I;16", 3000, r"\(mode I;16\) would be clipped; store them with 8 bits, divided by 257"),
        ("RGBA", (0, 0, 0, 9), r"0\.png: 100% of the pixels are transparent"),
        ("LA", (0, 9), r"0\.png: 100% of the pixels are transparent"),
    ],
)
@pytest.mark.parametrize("grey", [True, False])
def test_folder_pixels_that_would_change_are_refused(tmp_path, entry, mode, value, message, grey):
    write_image(tmp_path / "a" / "0.png", value, mode=mode)
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path), grey=grey))
    with pytest.raises(ClxaiError, match=message):
        source.image(0, None)


def test_folder_image_is_turned_as_its_exif_tag_says(tmp_path, entry):
    pixels = np.arange(80, dtype=np.uint8).reshape(8, 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned clockwise
    (tmp_path / "a").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a" / "0.png", exif=exif)
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path), grey=True))
    np.testing.assert_array_equal(source.image(0, None)[0], np.rot90(pixels, -1))


def png_of_48_bits(path):
    """Write an RGB PNG of 2x2 pixels with 16 bits a channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(26))), (b"IEND", b""))
    written = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))


def test_folder_colours_of_16_bits_are_refused(tmp_path, entry):
    png_of_48_bits(tmp_path / "a" / "0.png")
    with pytest.raises(ClxaiError, match=r"0\.png: pixels of more than 8 bits"):
        SOURCES["folder"].definition(entry("folder", path=str(tmp_path))).image(0, None)


def test_folder_image_too_huge_is_refused_with_the_remedy_that_works(tmp_path, entry, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    write_image(tmp_path / "a" / "0.png", 3, mode="L", size=(9, 9))
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))
    with pytest.raises(ClxaiError, match=r"a/0\.png: more than 80 pixels; store it smaller, a little above what `size` asks for"):
        source.image(0, (8, 8))
    write_image(tmp_path / "a" / "0.png", 3, mode="L", size=(8, 8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    assert source.image(0, (8, 8)).shape == (3, 8, 8)


@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_remedies_for_pixels_of_more_than_8_bits_work(tmp_path, entry, dtype):
    """What the errors of npz and folder tell one to store is read, white as white."""
    array = np.array([[[0, 257, 30000], [65535, 128 * 257, 1]]] * 6, dtype)
    arrays = {"train_images": (array / 65535).astype("float32"), "train_labels": np.arange(6) % 2}
    np.savez(tmp_path / "a.npz", **arrays)
    expected = (array[0] / 257).round().astype("uint8")
    np.testing.assert_array_equal(SOURCES["npz"].definition(entry("npz", path=str(tmp_path / "a.npz"))).read(0), expected)


FILES = {
    "classes": (["a/0.png", "b/0.png"], {"train": 2}, ("a", "b"), {}),
    "hidden": (
        ["a/0.png", "b/0.png", ".ipynb_checkpoints/0.png", "a/._0.png", "__MACOSX/a/0.png"],
        {"train": 2},
        ("a", "b"),
        {"hidden": 3},
    ),
    "other": (
        ["a/0.png", "b/0.png", "a/1.gif", "a/1.tif", "a/x/0.png", "0.png", "c/"],
        {"train": 2},
        ("a", "b"),
        {"empty class": 1, "nested": 1, "other suffix": 2, "outside the classes": 1},
    ),
    "class called train": (["train/0.png", "bus/0.png"], {"train": 2}, ("bus", "train"), {}),
    "class called test": (["test/0.png", "bus/0.png"], {"train": 2}, ("bus", "test"), {}),
    "valid": (["train/a/0.png", "valid/a/0.png"], {"train": 1, "val": 1}, ("a",), {}),
    "validation": (["train/a/0.png", "validation/a/0.png"], {"train": 1, "val": 1}, ("a",), {}),
    "beside": (["train/a/0.png", "test/a/0.png", "raw/a/0.png"], {"train": 1, "test": 1}, ("a",), {"beside the splits": 1}),
}


def write_files(root, files):
    for file in files:
        if file.endswith("/"):
            (root / file).mkdir()
        else:
            write_image(root / file, 3, mode="L", format="png")


@pytest.mark.parametrize(("files", "splits", "classes", "skipped"), FILES.values(), ids=FILES)
def test_folder_takes_the_images_and_counts_what_it_skips(tmp_path, entry, files, splits, classes, skipped):
    from clxai.data.image_folders import count_images

    write_files(tmp_path, files)
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))
    assert source.class_names == classes
    assert {name: n for name, n in zip(SPLITS, np.bincount(source.split, minlength=3), strict=True) if n} == splits
    assert count_images(tmp_path, 100) == splits
    assert {reason: len(names) for reason, names in source.skipped.items()} == skipped


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/0.png", "test/0.png"], r"hold images without class folders"),
        (["train/a/0.png", "valid/a/0.png", "val/a/0.png"], r"val, valid are one split; keep one of them"),
        (["train/a/0.png", "valid/0.png"], r"no images found as \{class\}/\*\.png.* in val\. Found: 1 outside the classes"),
        (["a/x/0.png"], r"no images found.*1 nested \(a/x/0\.png\)"),
    ],
)
def test_folder_whose_splits_cannot_be_told_is_refused(tmp_path, entry, files, message):
    write_files(tmp_path, files)
    with pytest.raises(ClxaiError, match=message):
        SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))


def test_folder_that_cannot_be_read_is_refused_by_name(tmp_path, entry, monkeypatch):
    write_files(tmp_path, ["a/0.png", "b/0.png"])
    scandir = os.scandir

    def deny(path="."):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(ClxaiError, match=r"/b: the folder cannot be read \(Permission denied\)"):
        SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))


def test_folder_of_a_circle_of_links_ends(tmp_path, entry):
    write_files(tmp_path, ["a/0.png"])
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert SOURCES["folder"].definition(entry("folder", path=str(tmp_path))).class_names == ("a", "b")


@pytest.mark.parametrize("split", ["", "train/"])
def test_links_to_folders_are_followed_down_to_classes_and_reported_below(tmp_path, entry, split):
    """The images behind a link below a class are not read; the report says so, by the name of the link."""
    write_files(tmp_path, [f"set/{split}a/0.png", f"set/{split}b/0.png", "elsewhere/1.png", "elsewhere/2.png"])
    root = tmp_path / "set"
    (root / split / "c").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / split / "a" / "more.png").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / split / "b" / "more.png").symlink_to(tmp_path / "elsewhere" / "1.png")  # to a file: an image like another
    source = SOURCES["folder"].definition(entry("folder", path=str(root)))
    assert source.class_names == ("a", "b", "c")
    assert np.bincount(source.labels).tolist() == [1, 2, 2]
    assert source.skipped == {"link below a class": [f"{split}a/more.png"]}
    assert found_in(source, source.split)["reason"].tolist() == ["read", "link below a class"]


def test_folder_missing_is_refused(tmp_path, entry):
    with pytest.raises(ClxaiError, match=r"path '.*absent' is not a folder"):
        SOURCES["folder"].definition(entry("folder", path=str(tmp_path / "absent")))


def test_folder_without_images_is_refused(tmp_path, entry):
    write_image(tmp_path / "stray.png", 0)
    with pytest.raises(ClxaiError, match=r"no images found as \{class\}/\*\.png"):
        SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))


@pytest.mark.parametrize("kept", [0, 10, 0.5])
def test_folder_damaged_image_is_refused_by_name(tmp_path, entry, kept):
    path = tmp_path / "a" / "0.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    source = SOURCES["folder"].definition(entry("folder", path=str(tmp_path)))
    with pytest.raises(ClxaiError, match=r"0\.png: not a readable image"):
        source.image(0, (8, 8))


def idx(array):
    """The IDX format of MNIST: a magic number, the shape, the bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_torchvision_keeps_its_own_train_and_test_split(tmp_path, entry):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng, images, labels = np.random.default_rng(0), {}, {}
    for name, n_images in (("train", 20), ("t10k", 10)):
        images[name] = rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
        labels[name] = (np.arange(n_images) % 10).astype(np.uint8)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(images[name]))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels[name]))
    source = SOURCES["torchvision"].definition(entry("torchvision", name="FashionMNIST", path=str(tmp_path)))
    assert source.split.tolist() == [0] * 20 + [2] * 10
    assert source.labels.tolist() == [*labels["train"], *labels["t10k"]]
    assert source.class_names[:2] == ("T-shirt/top", "Trouser")
    np.testing.assert_array_equal(source.image(3, None)[0], images["train"][3])
    np.testing.assert_array_equal(source.image(21, None)[0], images["t10k"][1])


def test_torchvision_set_that_needs_an_argument_gets_it(tmp_path, entry):
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, n_images in (("train", 20), ("test", 10)):
        (raw / f"emnist-digits-{name}-images-idx3-ubyte").write_bytes(idx(np.zeros((n_images, 28, 28), np.uint8)))
        (raw / f"emnist-digits-{name}-labels-idx1-ubyte").write_bytes(idx((np.arange(n_images) % 10).astype(np.uint8)))
    chosen = {"name": "EMNIST", "path": str(tmp_path)}
    source = SOURCES["torchvision"].definition(entry("torchvision", **chosen, arguments={"split": "digits"}))
    assert np.bincount(source.split).tolist() == [20, 0, 10]
    with pytest.raises(ClxaiError, match=r"torchvision set EMNIST with arguments.*Unknown value 'figures' for argument split"):
        SOURCES["torchvision"].definition(entry("torchvision", **chosen, arguments={"split": "figures"}))


def test_torchvision_set_that_is_absent_says_how_to_fetch_it(tmp_path, entry):
    with pytest.raises(ClxaiError, match=r"torchvision set FashionMNIST in .*set `download: true` to fetch it"):
        SOURCES["torchvision"].definition(entry("torchvision", name="FashionMNIST", path=str(tmp_path)))


def test_torchvision_unknown_name_suggests_the_nearest(entry):
    with pytest.raises(ClxaiError, match=r"unknown torchvision data set 'FashonMNIST'\. Did you mean 'FashionMNIST'\?"):
        SOURCES["torchvision"].definition(entry("torchvision", name="FashonMNIST"))


def test_torchvision_reads_the_published_fashion_mnist(fashion_mnist, entry):
    source = SOURCES["torchvision"].definition(entry("torchvision", name="FashionMNIST", path=str(fashion_mnist)))
    assert np.bincount(source.split).tolist() == [60000, 0, 10000]
    assert np.bincount(source.labels).tolist() == [7000] * 10
    assert source.image(69999, (28, 28)).shape == (1, 28, 28)


REQUIRED = {"EMNIST": {"split": "digits"}}


class Part:
    """One part of a torchvision set whose image of label c has all pixels c, whatever argument chose it."""

    def __init__(self, name, chosen, arguments):
        needs, n_images = NEEDS[name], 6
        self.start = needs.first_label(arguments)
        self.part = {needs.train: 0, needs.test: 1}[chosen]
        self.values = [self.start + (index + self.part) % 3 for index in range(n_images)]
        shapes = {"_samples": [("file", value) for value in self.values], "targets": np.array(self.values)}
        if name == "QMNIST":
            shapes["targets"] = np.array([[value, 77] for value in self.values])
        if needs.labels != "_FILES":
            setattr(self, needs.labels, shapes.get(needs.labels, self.values))

    def __getitem__(self, index):
        return Image.new("L", (8, 8), self.values[index]), None


@pytest.mark.parametrize("name", set_names())
def test_every_torchvision_set_is_planned_and_read_or_refused_with_a_reason(name, entry, monkeypatch):
    import torchvision.datasets as sets

    assert (name in NEEDS) != (name in REFUSED)
    arguments = REQUIRED.get(name, {})
    planned = {"name": name, "arguments": arguments, "download": False}
    if name in REFUSED:
        with pytest.raises(ClxaiError, match=rf"datasets\.a\.name: torchvision's {name} {REFUSED[name]}"):
            check(planned, "datasets.a")
        return
    if name == "PCAM":
        pytest.importorskip("h5py")
    check(planned, "datasets.a")
    argument = "train" if isinstance(NEEDS[name].train, bool) else "split"
    assert argument in parameters(name)
    if name == "PCAM":
        return  # its labels are in a file of their own
    monkeypatch.setattr(sets, name, lambda root, **given: Part(name, given[argument], arguments))
    source = SOURCES["torchvision"].definition(entry("torchvision", name=name, arguments=arguments))
    start = NEEDS[name].first_label(arguments)
    assert source.labels.tolist() == [0, 1, 2, 0, 1, 2, 1, 2, 0, 1, 2, 0]
    assert source.split.tolist() == [0] * 6 + [2] * 6
    assert source.class_names == tuple(str(start + label) for label in range(3))
    for index in (0, 5, 6, 11):
        assert source.image(index, None)[0, 0, 0] - start == source.labels[index]


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_the_attribute_and_the_parts_of_a_torchvision_set_are_in_its_code(name):
    import inspect

    import torchvision.datasets as sets

    needs = NEEDS[name]
    code = "".join(inspect.getsource(one) for one in getattr(sets, name).__mro__ if one.__module__.startswith("torchvision"))
    assert f"self.{needs.labels}" in code
    assert isinstance(needs.train, bool) or all(f'"{part}"' in code for part in (needs.train, needs.test))


def test_emnist_letters_are_counted_from_a(tmp_path, entry):
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, n_images in (("train", 52), ("test", 26)):
        (raw / f"emnist-letters-{name}-images-idx3-ubyte").write_bytes(idx(np.zeros((n_images, 28, 28), np.uint8)))
        (raw / f"emnist-letters-{name}-labels-idx1-ubyte").write_bytes(idx((np.arange(n_images) % 26 + 1).astype(np.uint8)))
    source = SOURCES["torchvision"].definition(
        entry("torchvision", name="EMNIST", path=str(tmp_path), arguments={"split": "letters"})
    )
    assert np.bincount(source.labels).tolist() == [3] * 26
    assert source.class_names == tuple("abcdefghijklmnopqrstuvwxyz")


def test_torchvision_images_without_labels_are_refused(entry, monkeypatch):
    import torchvision.datasets as sets

    part = type("Part", (), {"_samples": [("pixels", None)]})
    monkeypatch.setattr(sets, "FER2013", lambda root, split: part())
    with pytest.raises(ClxaiError, match="FER2013: images without labels"):
        SOURCES["torchvision"].definition(entry("torchvision", name="FER2013"))


def test_pcam_labels_come_from_their_own_file(tmp_path, entry):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "pcam").mkdir()
    for split, start in (("train", 0), ("test", 1)):
        stem, labels = f"pcam/camelyonpatch_level_2_split_{split}", (np.arange(6) + start) % 2
        for what, values in (("x", np.full((6, 9, 9, 3), 40 + start, np.uint8)), ("y", labels.reshape(6, 1, 1, 1))):
            with h5py.File(tmp_path / f"{stem}_{what}.h5", "w") as file:
                file[what] = values
    source = SOURCES["torchvision"].definition(entry("torchvision", name="PCAM", path=str(tmp_path)))
    assert source.labels.tolist() == [0, 1] * 3 + [1, 0] * 3
    assert [int(source.image(index, None)[0, 0, 0]) for index in (0, 6)] == [40, 41]


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
