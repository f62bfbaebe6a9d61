"""Artefacts: written whole or not at all, equal bytes for equal content, and refused by file name when damaged."""

import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from clxai.errors import ClxaiError
from clxai.runtime.artefacts import (
    atomic,
    existing,
    map_images,
    read_arrays,
    read_record,
    read_table,
    read_tensors,
    write_arrays,
    write_record,
    write_table,
    write_tensors,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def arrays():
    rng = np.random.default_rng(0)
    values = {"score": (("image", "step"), rng.normal(size=(5, 40)).astype(np.float32)), "label": ("image", np.arange(5))}
    return xarray.Dataset(values, coords={"image": np.arange(5)}, attrs={"dataset": "digits"})


def tensors():
    return {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.ones(3), "labels": torch.arange(3)}


def table():
    return pd.DataFrame({"method": ["lrp", "saliency"], "srg": [0.25, -0.5], "n": [3, 4]})


def images():
    return np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)


WRITERS = {
    "arrays.nc": (lambda path: write_arrays(arrays(), path), read_arrays),
    "tensors.safetensors": (lambda path: write_tensors(tensors(), {"kind": "test"}, path), read_tensors),
    "table.csv": (lambda path: write_table(table(), path), read_table),
    "record.json": (lambda path: write_record({"b": [1, 2], "a": "x"}, path), read_record),
    "images.npy": (lambda path: np.save(path, images()), map_images),
}
formats = pytest.mark.parametrize("name", WRITERS)


def test_atomic_success_leaves_one_readable_file(tmp_path):
    with atomic(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert [(path.name, path.read_text()) for path in (tmp_path / "new").iterdir()] == [("a.txt", "whole")]
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == 0o644


def test_atomic_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="killed"), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


@contextmanager
def files_of_at_most(n_bytes):
    """No file of this process may grow beyond a number of bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["arrays.nc", "tensors.safetensors", "table.csv", "record.json"])
@pytest.mark.parametrize("limit", [0, 20])
def test_full_disk_is_one_clear_line_and_leaves_the_old_file(tmp_path, name, limit):
    target = tmp_path / name
    target.write_text("old")
    with pytest.raises(ClxaiError) as refusal, files_of_at_most(limit):
        WRITERS[name][0](target)
    assert str(refusal.value) == f"{target}: cannot be written (File too large)"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "old")]


def test_remains_of_dead_writers_are_removed_and_those_of_live_ones_kept(tmp_path):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    host = platform.node()
    dead, alive = tmp_path / f".a.json.{host}-{ended.stdout.strip()}-x.json", tmp_path / f".a.json.{host}-{os.getppid()}-x.json"
    other, elsewhere = tmp_path / f".b.json.{host}-{ended.stdout.strip()}-x.json", tmp_path / ".a.json.another-1-x.json"
    for path in (dead, alive, other, elsewhere):
        path.touch()
    write_record({"a": 1}, tmp_path / "a.json")
    assert {path for path in tmp_path.iterdir() if path.name != "a.json"} == {alive, other, elsewhere}


@formats
def test_read_missing_file_is_refused(tmp_path, name):
    with pytest.raises(ClxaiError, match=re.escape(f"{tmp_path / name}: no such file")):
        WRITERS[name][1](tmp_path / name)


@formats
def test_read_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ClxaiError, match=re.escape(f"{tmp_path / name}: the file is empty")):
        WRITERS[name][1](tmp_path / name)


@formats
@pytest.mark.parametrize("content", [b"\x00\xff" * 100, b"hello", b"PK\x03\x04 no archive"])
def test_read_foreign_file_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClxaiError, match=re.escape(str(tmp_path / name))):
        WRITERS[name][1](tmp_path / name)


@formats
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_truncated_file_is_refused_by_name(tmp_path, name, data):
    """Cut anywhere within a row: no prefix of an artefact passes for the whole. (JSON: short of its final newline.)"""
    write, read = WRITERS[name]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    inside_a_row = [n for n in range(1, len(whole) - 1) if whole[n - 1 : n] != b"\n"]
    path.write_bytes(whole[: data.draw(st.sampled_from(inside_a_row))])
    with pytest.raises(ClxaiError, match=re.escape(str(path))):
        read(path)


def test_existing_refuses_a_folder(tmp_path):
    with pytest.raises(ClxaiError, match="no such file"):
        existing(tmp_path)


@pytest.mark.parametrize("name", ["arrays.nc", "tensors.safetensors", "table.csv", "record.json"])
def test_equal_content_gives_equal_bytes(tmp_path, name, monkeypatch):
    """Also a day later, in another folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    WRITERS[name][0](tmp_path / "a" / name)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400)
    if name == "arrays.nc":
        time.sleep(1.05)  # HDF5 keeps time in seconds
    WRITERS[name][0](tmp_path / "b" / name)
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_arrays_come_back_equal(tmp_path):
    write_arrays(arrays(), tmp_path / "a.nc")
    xarray.testing.assert_identical(read_arrays(tmp_path / "a.nc"), arrays())


def test_read_arrays_leaves_out_what_is_not_wanted(tmp_path):
    write_arrays(arrays(), tmp_path / "a.nc")
    assert list(read_arrays(tmp_path / "a.nc", leave_out=["score"])) == ["label"]


def test_read_arrays_releases_the_file(tmp_path):
    write_arrays(arrays(), tmp_path / "a.nc")
    before = read_arrays(tmp_path / "a.nc")
    write_arrays(arrays() + 1, tmp_path / "a.nc")
    xarray.testing.assert_identical(before, arrays())


def test_write_arrays_refuses_infinities_by_variable(tmp_path):
    dataset = arrays()
    dataset["score"][0, 0] = np.inf
    with pytest.raises(ClxaiError, match=r"a\.nc: score holds infinite values"):
        write_arrays(dataset, tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_write_arrays_keeps_nan(tmp_path):
    """NaN is how a missing value is stored."""
    dataset = arrays()
    dataset["score"][0, 0] = np.nan
    write_arrays(dataset, tmp_path / "a.nc")
    assert np.isnan(read_arrays(tmp_path / "a.nc")["score"].values).sum() == 1


def test_tensors_come_back_equal_with_their_record(tmp_path):
    record = {"kind": "test", "options": {"k": 3}, "mean": [0.1, 0.2]}
    write_tensors({**tensors(), "view": tensors()["weight"].T}, record, tmp_path / "a.safetensors")
    found, found_record = read_tensors(tmp_path / "a.safetensors")
    assert found_record == record
    assert torch.equal(found["view"], tensors()["weight"].T)
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors().items())


def test_read_tensors_refuses_safetensors_of_other_projects(tmp_path):
    from safetensors.torch import save_file

    save_file(tensors(), tmp_path / "a.safetensors")
    with pytest.raises(ClxaiError, match=r"a\.safetensors: not a readable safetensors file of this project"):
        read_tensors(tmp_path / "a.safetensors")


def test_write_table_rounds_to_seven_digits(tmp_path):
    write_table(pd.DataFrame({"a": [1 / 3, 123456789.0], "b": [1, 2]}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "a,b\n0.3333333,1\n1.234568e+08,2\n"


def test_tables_come_back_equal(tmp_path):
    write_table(table(), tmp_path / "a.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.csv"), table())


def test_write_record_sorts_keys(tmp_path):
    write_record({"b": 1, "a": {"d": 2, "c": 3}}, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    assert re.findall(r'"(\w)"', text) == ["a", "c", "d", "b"]
    assert set(json.loads(text)) == {"a", "b", "content_sha256"}
    assert read_record(tmp_path / "a.json") == {"a": {"c": 3, "d": 2}, "b": 1}


def test_map_images_reads_lazily_and_never_writes_back(tmp_path):
    np.save(tmp_path / "a.npy", images())
    mapped = map_images(tmp_path / "a.npy")
    assert isinstance(mapped, np.memmap)
    mapped[0] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), images())


@pytest.mark.parametrize(
    ("array", "found"),
    [(np.zeros((2, 1, 4, 4), np.float32), r"float32 \[2, 1, 4, 4\]"), (np.zeros((2, 4, 4), np.uint8), r"uint8 \[2, 4, 4\]")],
)
def test_map_images_refuses_other_arrays(tmp_path, array, found):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ClxaiError, match=rf"a\.npy: expected uint8 \[image, channel, y, x\], found {found}"):
        map_images(tmp_path / "a.npy")


def test_map_images_refuses_an_npz(tmp_path):
    np.savez(tmp_path / "a.npz", images())
    with pytest.raises(ClxaiError, match=r"a\.npz: not a readable npy array"):
        map_images(tmp_path / "a.npz")


def test_map_images_never_unpickles(tmp_path, harmful):
    folder, pickled = harmful
    np.save(tmp_path / "a.npy", pickled, allow_pickle=True)
    with pytest.raises(ClxaiError, match=r"a\.npy: not a readable npy array"):
        map_images(tmp_path / "a.npy")
    assert not folder.exists()
