"""Groups lie in one split each, by whatever source they are told, or the data are refused."""

import numpy as np
import pytest
from clxai.data.datasets import open_prepared
from clxai.data.groups import split_by_group
from clxai.data.preparing import prepare
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from clxai.planning.extents import check_source, measure
from PIL import Image

SPEAKERS = [f"{number:02}" for number in range(1, 61)]


def options(**changes):
    return {"seed": 0, "fold": None, "test_fraction": 0.2, "val_fraction": 0.15, **changes}


def members(groups, split):
    return [{group for group, code in zip(groups, split, strict=True) if code == place} for place in range(3)]


def test_drawn_groups_are_disjoint_complete_and_near_the_fractions():
    groups = [speaker for speaker in SPEAKERS for _ in range(5)]
    split = split_by_group(groups, [0] * 300, options())
    assert [len(part) for part in members(groups, split)] == [41, 7, 12]  # 20 % of 60, then 15 % of 48
    assert len(set().union(*members(groups, split))) == 60
    assert split == split_by_group(groups, [0] * 300, options())
    assert split != split_by_group(groups, [0] * 300, options(seed=1))


def test_groups_of_unequal_size_come_nearest_to_the_fraction_of_images():
    groups = ["big"] * 90 + [f"small {number}" for number in range(10)]
    tested = [split_by_group(groups, [0] * 100, options(seed=seed)).count(2) for seed in range(8)]
    assert set(tested) <= {9, 10, *range(1, 9), 90, *range(91, 100)}
    assert min(abs(count - 20) for count in tested) < 20


def test_folds_test_every_group_once_and_validate_on_another():
    groups = [speaker for speaker in SPEAKERS for _ in range(2)]
    folds = [members(groups, split_by_group(groups, [0] * 120, options(fold=[number, 5]))) for number in range(5)]
    assert [[len(part) for part in fold] for fold in folds] == [[36, 12, 12]] * 5  # as the AudioMNIST paper has it
    assert sorted(group for _, _, test in folds for group in test) == SPEAKERS
    assert all(folds[number][1] == folds[(number + 1) % 5][2] for number in range(5))


@pytest.mark.parametrize(
    ("split", "changes", "message"),
    [
        ([0, 2, 0, 2], {}, r"2 groups lie in train and in test \(a, b\).*mixed_groups: true"),
        ([0, 0, 0, 0], {"fold": [2, 2]}, r"fold must be \[k, n\] with 3 <= n <= 2, the groups"),
        ([0, 0, 2, 2], {"fold": [0, 3]}, "fold is for sources that have no splits of their own"),
        ([0, 0, 0, 0], {}, "1 groups .* too few to draw val from"),
    ],
)
def test_what_cannot_be_kept_apart_is_refused(split, changes, message):
    with pytest.raises(ClxaiError, match=message):
        split_by_group(["a", "a", "b", "b"], split, options(**changes))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (80, 8, 8), dtype=np.uint8),
        "train_labels": np.arange(80) % 2,
        "train_groups": np.repeat(["a", "b", "c", "d", "e"], 16),
    }


def prepared(entry, folder):
    table = prepare(entry, folder / "images.npy", folder / "labels.nc")
    return table, open_prepared("test", folder / "images.npy", folder / "labels.nc")


def test_npz_groups_are_stored_and_kept_apart(arrays, entry, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    given = entry("npz", path=str(tmp_path / "a.npz"))
    check_source(given, "d")
    table, data = prepared(given, tmp_path)
    np.testing.assert_array_equal(data.groups, arrays["train_groups"])
    parts = [set(data.groups[data.indices(name)].tolist()) for name in SPLITS]
    assert [len(part) for part in parts] == [3, 1, 1]
    assert len(set().union(*parts)) == 5
    assert table.set_index("reason")["count"].to_dict() == {
        **{"read": 80, "groups in train": 3, "groups in val": 1, "groups in test": 1}
    }
    assert measure(given, "d").images == {"train": 80, "val": None, "test": None}  # whole groups: planning cannot tell


def test_mixed_groups_draw_images_and_still_store_the_groups(arrays, entry, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    _, data = prepared(entry("npz", path=str(tmp_path / "a.npz"), mixed_groups=True), tmp_path)
    assert len(set(data.groups[data.indices("test")].tolist())) > 1


def test_npz_with_another_number_of_groups_is_refused(arrays, entry, tmp_path):
    np.savez(tmp_path / "a.npz", **{**arrays, "train_groups": np.arange(7)})
    with pytest.raises(ClxaiError, match=r"train_groups must be 80 whole numbers or texts. Found int64 of \[7\]"):
        measure(entry("npz", path=str(tmp_path / "a.npz")), "d")


@pytest.fixture
def folder(tmp_path):
    """Images of two classes by four patients, and the file that names these."""
    rng, lines = np.random.default_rng(0), ["name,group"]
    for name in ("ill", "well"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "images" / name / f"{number}.png")
            lines.append(f"{name}/{number}.png,patient {number % 4}")
    (tmp_path / "patients.csv").write_text("\n".join(lines))
    return tmp_path


def test_folder_groups_come_from_a_file(folder, entry):
    given = entry("folder", path=str(folder / "images"), groups=str(folder / "patients.csv"), fold=[1, 4])
    check_source(given, "d")
    _, data = prepared(given, folder)
    assert [len(set(data.groups[data.indices(name)].tolist())) for name in SPLITS] == [2, 1, 1]
    assert data.groups[0] == "patient 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,group\n", r"patients\.csv: needs the columns name and group. Found file, group"),
        ("name,group\nill/0.png,a\n", r"patients\.csv: no group of ill/1\.png"),
    ],
)
def test_folder_groups_must_be_complete(folder, entry, text, message):
    (folder / "patients.csv").write_text(text)
    with pytest.raises(ClxaiError, match=message):
        prepared(entry("folder", path=str(folder / "images"), groups=str(folder / "patients.csv")), folder)


def test_planning_refuses_folds_of_data_without_groups(entry):
    with pytest.raises(ClxaiError, match=r"d\.fold is for data whose groups are known, and source 'digits' tells none"):
        check_source(entry("digits", fold=[0, 6]), "d")


def test_data_without_groups_store_none(tiny_data):
    assert tiny_data.data.groups is None
    assert tiny_data.data.spectrogram is None
