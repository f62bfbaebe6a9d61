"""What planning keeps of a user's files: when it changes, and when a file is read for it."""

import json
import os
import time

import pytest
from clxai.data import image_folders, torchvision_sets
from clxai.planning import watching
from clxai.planning.extents import content, watch_files
from clxai.planning.watching import digests, read_known, remember, side_file, state_of
from PIL import Image

OLD = time.time_ns() - 10**12


def write(path, text, when=OLD):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(when, when))


@pytest.fixture
def files(tmp_path):
    """Two files by name, last modified long ago."""
    found = [("a", tmp_path / "a"), ("b", tmp_path / "b")]
    for name, path in found:
        write(path, name)
    return found


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that are read."""
    seen, digest = [], watching._digest
    monkeypatch.setattr(watching, "_digest", lambda path: seen.append(path.name) or digest(path))
    return seen


def touched(files):
    os.utime(files[0][1], ns=(OLD + 1, OLD + 1))


def rewritten(files):
    write(files[0][1], "c")


def edited(files):
    write(files[0][1], "c", OLD + 1)


def grown(files):
    write(files[0][1], "aa")


def renamed(files):
    files[0] = ("c", files[0][1])


def removed(files):
    files.pop()


def unlinked(files):
    files[0][1].unlink()


@pytest.mark.parametrize(
    ("change", "by_content", "by_stat"),
    [
        (touched, False, True),
        (rewritten, True, False),  # the same size and time: stat cannot see it
        (edited, True, True),
        (grown, True, True),
        (renamed, True, True),
        (removed, True, True),
        (unlinked, True, True),
        (list.reverse, False, False),
    ],
)
def test_state_changes_with_what_is_watched(files, change, by_content, by_stat):
    before = [state_of(files, watch, {}) for watch in ("content", "stat")]
    change(files)
    after = [state_of(files, watch, {}) for watch in ("content", "stat")]
    assert [one != other for one, other in zip(before, after, strict=True)] == [by_content, by_stat]
    assert after[0]["files"] == len(files)


def test_state_does_not_depend_on_the_place_or_on_what_is_remembered(files, tmp_path):
    moved = [(name, path.rename(tmp_path / f"moved{name}")) for name, path in files]
    state = state_of(moved, "content", {})
    assert state_of(moved, "content", digests(moved, {})) == state
    assert all(str(tmp_path) not in str(value) for value in state.values())


@pytest.mark.parametrize(("change", "read"), [(None, []), (touched, ["a"]), (edited, ["a"]), (grown, ["a"]), (removed, [])])
def test_a_remembered_file_is_read_again_only_where_size_time_or_inode_differ(files, reads, tmp_path, change, read):
    path = tmp_path / "results" / "kept.json"
    remember(files, path)
    assert sorted(reads) == ["a", "b"]
    reads.clear()
    if change:
        change(files)
    state = state_of(files, "content", read_known(path))
    assert reads == read
    assert state == state_of(files, "content", {})


def test_a_file_that_took_the_place_of_another_is_read(files, reads, tmp_path):
    """Of the same size and time, by its inode: as `rsync` and `mv` put it there."""
    remember(files, tmp_path / "kept.json")
    write(tmp_path / "other", "c")
    (tmp_path / "other").rename(files[0][1])
    reads.clear()
    state_of(files, "content", read_known(tmp_path / "kept.json"))
    assert reads == ["a"]


def test_a_file_that_was_just_modified_is_not_remembered(files, tmp_path):
    """It might change again within one tick of the file system's clock."""
    os.utime(files[0][1])
    remember(files, tmp_path / "kept.json")
    assert list(read_known(tmp_path / "kept.json")) == ["b"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": [1, 2]}'])
def test_a_damaged_side_file_is_as_none(files, reads, tmp_path, text):
    (tmp_path / "kept.json").write_text(text)
    remember(files, tmp_path / "kept.json")
    assert sorted(reads) == ["a", "b"]
    assert sorted(read_known(tmp_path / "kept.json")) == ["a", "b"]


def test_an_unchanged_side_file_is_not_written_again_and_nothing_stays_beside_it(files, tmp_path):
    path = tmp_path / "results" / "kept.json"
    remember(files, path)
    path.chmod(0o400)
    inode = path.stat().st_ino
    remember(files, path)
    assert path.stat().st_ino == inode
    removed(files)
    remember(files, path)
    assert list(json.loads(path.read_text())) == ["a"]
    assert [file.name for file in path.parent.iterdir()] == ["kept.json"]


def test_side_file_that_cannot_be_written_stops_nothing(files, tmp_path, monkeypatch):
    (tmp_path / "results").write_text("a file where the folder should be")
    remember(files, tmp_path / "results" / "kept.json")
    assert read_known(tmp_path / "results" / "kept.json") == {}


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), value).save(path)
    os.utime(path, ns=(OLD, OLD))


def test_of_a_folder_the_images_of_classes_are_watched(entry, tmp_path):
    for name in ("a/0.png", "b/0.png", ".hidden/0.png", "a/deep/0.png"):
        picture(tmp_path / name, 3)
    (tmp_path / "a" / "notes.txt").write_text("x")
    found = image_folders.files(entry("folder", path=str(tmp_path)))
    assert sorted(name for name, _ in found) == ["a/0.png", "b/0.png"]


def test_of_a_torchvision_root_all_files_are_watched(entry, tmp_path):
    write(tmp_path / "MNIST" / "raw" / "images", "x")
    mine = entry("torchvision", name="MNIST", path=str(tmp_path))
    assert [name for name, _ in torchvision_sets.files(mine)] == ["MNIST/raw/images"]


@pytest.mark.parametrize("watch", ["content", "stat"])
def test_downloaded_set_is_watched_from_the_first_planning_after_it_was_prepared(config, entry, tmp_path, monkeypatch, watch):
    """What comes down with the first study is no change, nor is another set in the same root, nor a root that was cleared."""
    monkeypatch.chdir(tmp_path)
    own, images = entry("torchvision", name="MNIST", download=True, path="root", watch=watch), tmp_path / "root/MNIST/images"
    config["datasets"]["own"], config["study"]["datasets"] = own, ["own"]

    def planned():
        watch_files(config)
        return content(own, "own")

    assert planned() is None
    write(images, "x")  # the job downloads and prepares
    assert planned() is None
    side_file("own").parent.mkdir(parents=True, exist_ok=True)
    side_file("own").with_name("images.npy").touch()
    assert planned() is None
    write(tmp_path / "root/CIFAR10/images", "of another set")
    assert planned() is None
    write(images, "other pixels")
    changed = planned()
    assert changed["files"] == 1
    assert planned() == changed
    write(images, "x")
    assert planned() is None
    images.unlink()
    assert planned() is None


def test_watched_folder_is_read_once_by_planning_and_never_by_jobs(config, entry, tmp_path, monkeypatch, reads):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        picture(tmp_path / "set" / name / "0.png", 3)
    own = entry("folder", path="set")
    config["datasets"]["own"], config["study"]["datasets"] = own, ["own", "digits"]
    watch_files(config)
    assert len(reads) == 2
    assert side_file("own").exists()
    assert not side_file("digits").parent.exists()
    state = content(own, "own")
    assert len(reads) == 2
    picture(tmp_path / "set" / "a" / "0.png", 4)
    os.utime(tmp_path / "set" / "a" / "0.png", ns=(OLD + 1, OLD + 1))
    assert content(own, "own") != state
    assert content({**own, "watch": "none"}, "own") is None


@pytest.mark.parametrize("watch", ["stat", "none"])
def test_only_watched_content_is_read(config, entry, tmp_path, monkeypatch, reads, watch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "set" / "a" / "0.png", 3)
    config["datasets"]["own"] = {**entry("folder", path="set"), "watch": watch}
    config["study"]["datasets"] = ["own"]
    watch_files(config)
    content(config["datasets"]["own"], "own")
    assert not reads
    assert not side_file("own").exists()
