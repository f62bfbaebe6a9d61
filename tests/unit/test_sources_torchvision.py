"""Torchvision's sets are planned and read, or refused with a reason."""

import struct

import numpy as np
import pytest
from clxai.data.sources.base import SOURCES
from clxai.data.torchvision_sets import NEEDS, REFUSED, check, parameters, set_names
from clxai.errors import ClxaiError
from PIL import Image


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
