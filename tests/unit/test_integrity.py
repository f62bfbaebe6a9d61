"""Checksums: a flipped bit, an edit by hand or a foreign file is reported by name, whatever the kind of artefact."""

import json
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.attribution.explaining import explain
from clxai.data.datasets import StoredImages, open_prepared
from clxai.data.samples import draw_sample
from clxai.errors import ClxaiError
from clxai.flipping.curves import flip_curves
from clxai.heads.base import load_head
from clxai.networks.inference import load_encoder
from clxai.runtime.artefacts import read_arrays, read_record, read_tensors, write_arrays, write_record, write_table
from project import grid

FLIPS = 150  # per kind of file, one at a time
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def study(tiny_run, tiny_data, tmp_path_factory):
    """One real artefact of every kind."""
    folder = tmp_path_factory.mktemp("study")
    for source in (tiny_data.images, tiny_data.labels, *Path(tiny_run.checkpoint).parent.iterdir()):
        shutil.copy(source, folder / Path(source).name)
    run = tiny_run.at(draw_sample(tiny_data.data, "evaluation", "test", 10, 0))
    attributions = explain(run, "saliency", {}, 0)
    settings = {"fills": ["mean"], "steps": 4, "trajectories": 2, "bank_k": 5, "units": grid(4), "seed": 0}
    settings |= {"batch_size": 64, "precision": "float32"}
    write_arrays(attributions, folder / "attributions.nc")
    write_arrays(flip_curves(run, attributions, settings), folder / "curves.nc")
    write_record({"loss": "supcon", "epoch": 3, "val_accuracy": 0.5}, folder / "training.json")
    return folder


def content_of_model(path):
    return load_encoder(path, CPU).state_dict(), read_tensors(path)[1]


def content_of_head(path):
    head = load_head(path, CPU)
    return head.state_dict(), head.options, head.facts


def content_of_images(path):
    data = open_prepared("digits", path, path.with_name("labels.nc"))
    return data.images[np.arange(len(data.images))]


READERS = {
    "model.safetensors": content_of_model,
    "knn.safetensors": content_of_head,
    "softmax.safetensors": content_of_head,
    "embeddings.nc": read_arrays,
    "attributions.nc": read_arrays,
    "curves.nc": read_arrays,
    "labels.nc": read_arrays,
    "images.npy": content_of_images,
    "training.json": read_record,
}
kinds = pytest.mark.parametrize("name", READERS)


def same(one, other):
    """Equal in content and type, NaN equal to NaN."""
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, xarray.Dataset):
        return one.identical(other) and str(one.dtypes) == str(other.dtypes)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one == other


def places(size, head, rng):
    """Random places of a file, half of them near its beginning, where the structure is."""
    return [rng.randrange(min(size, head)) if n % 2 else rng.randrange(size) for n in range(FLIPS)]


@kinds
def test_flipped_bit_is_reported_or_changes_nothing_that_is_read(study, tmp_path, name):
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    path, read = tmp_path / name, READERS[name]
    whole, expected, rng, reported = path.read_bytes(), read(path), random.Random(name), 0
    for place in places(len(whole), 600, rng):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            found = read(path)
        except ClxaiError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            reported += 1
        else:
            assert same(found, expected), f"byte {place}: another content was read without a word"
    assert reported >= 0.9 * FLIPS


@pytest.mark.parametrize("name", ["attributions.nc", "curves.nc"])
def test_flip_in_a_variable_that_is_left_out_is_reported_too(study, tmp_path, name):
    path = shutil.copy(study / name, tmp_path / name)
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)
    with pytest.raises(ClxaiError, match=f"{name}: damaged or edited"):
        read_arrays(path, leave_out=["attribution" if name == "attributions.nc" else "trajectory_embedding"])


@kinds
def test_reader_of_an_undamaged_copy_finds_the_same(study, tmp_path, name):
    shutil.copytree(study, tmp_path / "moved")
    assert same(READERS[name](tmp_path / "moved" / name), READERS[name](study / name))


def test_record_edited_by_hand_is_refused_and_says_how_to_recreate_it(study, tmp_path):
    path = tmp_path / "training.json"
    path.write_text((study / "training.json").read_text().replace("0.5", "0.9"))
    with pytest.raises(ClxaiError, match=re.escape(f"{path}: damaged or edited since it was written")) as error:
        read_record(path)
    assert "delete it and run again" in str(error.value)


def test_table_is_one_plain_csv_file(tmp_path):
    write_table(pd.DataFrame({"method": ["lrp", "random"], "mean": [0.25, np.nan], "n": [3, 4]}), tmp_path / "summary.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["summary.csv"]
    assert (tmp_path / "summary.csv").read_text() == "method,mean,n\nlrp,0.25,3\nrandom,,4\n"


def without_trailer(path):
    path.write_bytes(path.read_bytes()[:-78])


def without_key(path):
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "content_sha256"}))


def without_key_in_metadata(path):
    from safetensors.torch import load_file, save_file

    save_file(load_file(path), path, metadata={"record": json.dumps({"kind": "network"})})


@pytest.mark.parametrize(
    ("name", "strip", "where"),
    [
        ("embeddings.nc", without_trailer, "at its end"),
        ("training.json", without_key, "in its record"),
        ("model.safetensors", without_key_in_metadata, "in its record"),
    ],
)
def test_file_of_an_older_version_is_refused_with_the_way_out(study, tmp_path, name, strip, where):
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    strip(tmp_path / name)
    with pytest.raises(ClxaiError, match=rf"{name}: no checksum {where}: an older version.*delete it and run again"):
        READERS[name](tmp_path / name)


def test_arrays_are_plain_netcdf_for_other_readers(study):
    import h5py

    with h5py.File(study / "curves.nc") as file:
        assert file["log_odds"].shape == read_arrays(study / "curves.nc")["log_odds"].shape
    with xarray.open_dataset(study / "curves.nc", engine="h5netcdf") as dataset:
        assert dataset.identical(read_arrays(study / "curves.nc"))


def test_stored_images_check_what_is_used_and_name_the_image(study, tmp_path):
    path = shutil.copy(study / "images.npy", tmp_path / "images.npy")
    crc32 = read_arrays(study / "labels.nc")["crc32"].values
    content = bytearray(Path(path).read_bytes())
    content[-1] ^= 1
    Path(path).write_bytes(content)
    images = StoredImages(path, crc32)
    assert images[np.arange(10)].shape == (10, 1, 16, 16)
    assert images[3].shape == (1, 16, 16)
    for index in (319, np.array([5, 319]), slice(300, None), -1):
        with pytest.raises(ClxaiError, match=r"images\.npy: image 319 is damaged"):
            images[index]


def test_images_file_of_another_length_than_its_header_says_is_refused(study, tmp_path):
    path = Path(shutil.copy(study / "images.npy", tmp_path / "images.npy"))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ClxaiError, match=r"images\.npy: damaged, it has \d+ bytes where its header says \d+"):
        StoredImages(path, read_arrays(study / "labels.nc")["crc32"].values)
