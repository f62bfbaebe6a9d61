"""Folders of images are read as promised, and refused with the file, what was found and what is allowed."""

import os
import struct
import zlib

import numpy as np
import pytest
from clxai.data.preparing import found_in
from clxai.data.sources.base import SOURCES
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from PIL import Image


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
