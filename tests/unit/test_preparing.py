"""Preparing a data set: any source becomes uint8 images with checked labels, splits and training statistics."""

import numpy as np
import pytest
from clxai.data.datasets import open_prepared
from clxai.data.preparing import assign_splits, check_labels, check_splits, prepare
from clxai.data.sources.base import Source
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from clxai.runtime.artefacts import read_arrays
from PIL import Image


@pytest.fixture
def prepared(tmp_path):
    """Prepare and open a data set."""

    def make(entry, name="out"):
        paths = tmp_path / name / "images.npy", tmp_path / name / "labels.nc"
        prepare(entry, *paths)
        return open_prepared("test", *paths)

    return make


def source_of(labels, split=None):
    labels = np.asarray(labels)
    split = np.zeros_like(labels) if split is None else np.asarray(split)
    return Source(labels, split, tuple(map(str, range(labels.max() + 1))), lambda index: np.zeros((8, 8), np.uint8))


def shares(labels):
    return np.bincount(labels) / len(labels)


def test_prepare_digits_is_complete_with_the_asked_split_sizes(entry, prepared):
    data = prepared(entry("digits", size=8))
    members = [data.indices(name) for name in SPLITS]
    assert [len(part) for part in members] == [1222, 216, 359]
    assert sorted(np.concatenate(members).tolist()) == list(range(1797))
    for part in members:
        np.testing.assert_allclose(shares(data.labels[part]), shares(data.labels), atol=1 / len(part))


def test_prepare_statistics_are_of_the_training_images_alone(entry, prepared):
    data = prepared(entry("digits", size=8))
    pixels = data.images[data.indices("train")] / 255
    np.testing.assert_allclose(data.mean, [pixels.mean()], rtol=1e-12)
    np.testing.assert_allclose(data.std, [pixels.std()], rtol=1e-9)


def test_prepare_twice_gives_equal_bytes(entry, tmp_path):
    for name in ("a", "b"):
        prepare(entry("digits", size=8), tmp_path / name / "images.npy", tmp_path / name / "labels.nc")
    for file in ("images.npy", "labels.nc"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_prepare_limit_keeps_a_stratified_part_and_says_where_it_came_from(entry, prepared, tmp_path):
    from sklearn.datasets import load_digits

    data = prepared(entry("digits", size=8, limit={"train": 100, "val": 40, "test": None}))
    assert [len(data.indices(name)) for name in SPLITS] == [100, 40, 359]
    np.testing.assert_allclose(shares(data.labels[data.indices("train")]), shares(load_digits().target), atol=0.01)
    origin = read_arrays(tmp_path / "out" / "labels.nc")["origin"].values
    np.testing.assert_array_equal(data.labels, load_digits().target[origin])
    np.testing.assert_allclose(np.asarray(data.images)[:, 0] / 255, load_digits().images[origin] / 16, atol=0.5 / 255)


def test_prepare_seed_changes_the_splits(entry, prepared):
    one, other = prepared(entry("digits", size=8), "a"), prepared(entry("digits", size=8, seed=1), "b")
    assert len(one.indices("test")) == len(other.indices("test"))
    assert set(one.indices("test").tolist()) != set(other.indices("test").tolist())


def write_npz(path, n=30, **changes):
    rng = np.random.default_rng(0)
    arrays = {f"{name}_images": rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for name in SPLITS}
    arrays |= {f"{name}_labels": (np.arange(n) % 3)[:, None].astype(np.uint8) for name in SPLITS}
    np.savez(path, **{name: array for name, array in {**arrays, **changes}.items() if array is not None})
    return str(path)


def test_prepare_npz_keeps_pixels_order_and_splits(entry, prepared, tmp_path):
    path = write_npz(tmp_path / "a.npz")
    data = prepared(entry("npz", path=path))
    arrays = np.load(path)
    for name in SPLITS:
        np.testing.assert_array_equal(data.images[data.indices(name)].transpose(0, 2, 3, 1), arrays[f"{name}_images"])
        np.testing.assert_array_equal(data.labels[data.indices(name)], arrays[f"{name}_labels"].ravel())
    assert len(data.mean) == len(data.std) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": np.arange(30) % 3 + 1.0}, r"a\.npz: labels must be integers 0\.\.C-1. Found float64"),
        ({"train_labels": np.arange(30) % 3 - 1}, r"a\.npz: labels must begin at datasets\.\*\.first_label, 0\. Found -1\.\.2"),
        ({f"{name}_labels": np.arange(30) % 2 * 2 for name in SPLITS}, r"a\.npz: classes without images: \[1\] of 0\.\.2"),
        ({f"{name}_labels": np.zeros(30, int) for name in SPLITS}, r"a\.npz: .* at least 2 classes. Found 1"),
        ({"val_labels": np.zeros(30, int)}, "the val split has 0 images of class '1', needs 1"),
        ({"train_images": np.zeros((30, 8, 8, 3), np.uint8)}, "channel 0 of the training images is constant"),
    ],
    ids=["float", "negative", "gap", "one_class", "class_absent_from_val", "constant"],
)
def test_prepare_refuses_bad_labels_and_images(entry, tmp_path, changes, message):
    path = write_npz(tmp_path / "a.npz", **changes)
    with pytest.raises(ClxaiError, match=message):
        prepare(entry("npz", path=path), tmp_path / "out" / "images.npy", tmp_path / "out" / "labels.nc")
    assert not list(tmp_path.glob("out/*"))


def write_folder(root, size=(10, 10), n_images=10):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(n_images):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return str(root)


def test_prepare_folder_draws_the_splits(entry, prepared, tmp_path):
    data = prepared(entry("folder", path=write_folder(tmp_path / "images"), size=8))
    assert data.class_names == ("cat", "dog")
    assert data.images.shape == (20, 3, 8, 8)
    assert np.bincount(data.labels[data.indices("test")]).tolist() == [2, 2]
    assert [len(data.indices(name)) for name in SPLITS] == [14, 2, 4]


def test_prepare_lists_all_broken_images_together(entry, prepared, tmp_path):
    root = write_folder(tmp_path / "images")
    for name in ("cat/0.png", "cat/3.png", "dog/9.png"):
        (tmp_path / "images" / name).write_bytes(b"broken")
    with pytest.raises(ClxaiError, match=r"3 of 20 images cannot be used: .*cat/0\.png.*cat/3\.png.*dog/9\.png"):
        prepared(entry("folder", path=root, size=8))


def test_prepare_of_broken_images_alone_is_refused(entry, prepared, tmp_path):
    root = write_folder(tmp_path / "images")
    for path in (tmp_path / "images").glob("*/*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(ClxaiError, match=r"20 of 20 images cannot be used: .*cat/0\.png"):
        prepared(entry("folder", path=root, size=8))


def test_prepare_reports_what_was_read_and_what_was_skipped(entry, tmp_path, capsys):
    root = write_folder(tmp_path / "images")
    (tmp_path / "images" / "cat" / "notes.txt").write_text("not an image")
    table = prepare(entry("folder", path=root, limit={"train": 10}), tmp_path / "images.npy", tmp_path / "labels.nc")
    assert table[["reason", "count"]].to_numpy().tolist() == [["read", 16], ["limit", 4], ["other suffix", 1]]
    assert table["first_names"][2] == "cat/notes.txt"
    assert "cat/notes.txt" in capsys.readouterr().out


def test_prepare_reports_what_was_read_of_a_source_without_names(entry, tmp_path):
    table = prepare(entry("digits", size=8), tmp_path / "images.npy", tmp_path / "labels.nc")
    assert table.to_numpy().tolist() == [["read", 1797, ""]]


def test_prepare_mixed_image_sizes_are_refused_until_a_size_is_set(entry, prepared, tmp_path):
    root = write_folder(tmp_path / "images")
    Image.new("RGB", (12, 10), (9, 9, 9)).save(tmp_path / "images" / "cat" / "5.png")
    with pytest.raises(ClxaiError, match=r"cat/5\.png: shape \[3, 10, 12\] differs from \[3, 10, 10\] of cat/0\.png; set `size`"):
        prepared(entry("folder", path=root))
    assert prepared(entry("folder", path=root, size=8)).images.shape == (20, 3, 8, 8)
    assert prepared(entry("folder", path=root, size=[8, 9])).images.shape == (20, 3, 8, 9)


def test_prepared_images_need_not_be_square(entry, prepared, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 20), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=np.arange(40) % 2)
    data = prepared(entry("npz", path=str(tmp_path / "a.npz"), seed=3))
    assert data.images.shape == (40, 1, 12, 20)
    assert (data.images[:] == images[:, None]).all()


def test_prepare_fashion_mnist_draws_val_from_train_and_keeps_test(entry, prepared, fashion_mnist, tmp_path):
    limit = {"train": 60, "val": 20, "test": 30}
    data = prepared(entry("torchvision", name="FashionMNIST", path=str(fashion_mnist), limit=limit))
    assert [len(data.indices(name)) for name in SPLITS] == [60, 20, 30]
    assert [np.bincount(data.labels[data.indices(name)]).tolist() for name in SPLITS] == [[6] * 10, [2] * 10, [3] * 10]
    origin = read_arrays(tmp_path / "out" / "labels.nc")["origin"].values
    assert (origin[data.indices("test")] >= 60000).all()
    assert (origin[data.split < 2] < 60000).all()
    assert data.images.shape == (110, 1, 28, 28)


def test_assign_splits_draws_only_what_the_source_lacks(entry):
    labels = np.tile([0, 1], 50)
    given = np.repeat([0, 2], [80, 20])
    split = assign_splits(source_of(labels, given), entry("npz", val_fraction=0.25))
    assert np.bincount(split).tolist() == [60, 20, 20]
    np.testing.assert_array_equal(split == 2, given == 2)
    assert np.bincount(labels[split == 1]).tolist() == [10, 10]


def test_assign_splits_leaves_the_source_as_it_is(entry):
    source = source_of(np.tile([0, 1], 50))
    assign_splits(source, entry("npz"))
    assert not source.split.any()


def test_assign_splits_limit_above_the_size_keeps_all(entry):
    split = assign_splits(source_of(np.tile([0, 1], 50)), entry("npz", limit={"train": 1000}))
    assert (split >= 0).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.0, 1.0]), r"here: labels must be integers 0\.\.C-1. Found float64"),
        (np.array(["a", "b"]), r"here: labels must be integers 0\.\.C-1. Found <U1"),
        (np.array([1, 2, 3]), r"here: labels must be 0\.\.2. Found 1\.\.3"),
        (np.array([-1, 0, 1]), r"here: labels must be 0\.\.2. Found -1\.\.1"),
        (np.array([0, 2, 2]), r"here: classes without images: \[1\] of 0\.\.2"),
    ],
)
def test_check_labels_refuses(labels, message):
    with pytest.raises(ClxaiError, match=message):
        check_labels(labels, 3, "here")


def test_check_splits_needs_two_training_images_of_each_class():
    split = np.array([0, 0, 0, 1, 1, 2, 2])
    with pytest.raises(ClxaiError, match="the train split has 1 images of class 'dog', needs 2"):
        check_splits(np.array([0, 0, 1, 0, 1, 0, 1]), split, ("cat", "dog"))
