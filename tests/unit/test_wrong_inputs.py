"""The bad input campaign: wrong configs, generated from the schema for every key, and wrong data, each refused in one line."""

import io
import math
import zipfile

import numpy as np
import pytest
from clxai.data.npz import read_headers
from clxai.errors import ClxaiError
from clxai.names import SPLITS
from clxai.planning.extents import measure
from clxai.planning.reading import check_keys, check_unchanged
from PIL import Image
from project import ROOT, SCHEMA, changed, check, leaves

NAMES = {"datasets": "digits", "models": "ce", "samples": "evaluation"}  # an entry of the sections that hold named entries
WRONG_TYPES = {
    "string": 3,
    "integer": "many",
    "number": "much",
    "boolean": "maybe",
    "array": "one",
    "object": ["one"],
}


def named_leaves():
    """Every key of the schema, its path with the name of an entry filled in, and its own schema."""
    for path, entry, _ in leaves(SCHEMA):
        if "*" not in path:
            yield path, entry
        elif path[0] in NAMES:
            yield (path[0], NAMES[path[0]], *path[2:]), entry


def wrong_values(entry):
    """Values that a key must refuse: of another type, below, above, on a bound that is excluded, not in the list."""
    types = entry["type"] if isinstance(entry["type"], list) else [entry["type"]]
    first = next(name for name in types if name != "null")
    yield "type", WRONG_TYPES[first]
    if "null" not in types:
        yield "null", None
    if first in ("integer", "number"):
        yield "not finite", math.nan
        yield "infinite", math.inf
        yield "truth value", True
    if first == "integer":
        yield "fraction", 2.5
        yield "whole float", 3.0
    for bound, step in (("minimum", -1), ("exclusiveMinimum", 0), ("maximum", 1), ("exclusiveMaximum", 0)):
        if bound in entry:
            yield bound, entry[bound] + step
    if "enum" in entry:
        yield "name", entry["enum"][0] + "x"
    if first == "array":
        if entry.get("minItems"):
            yield "empty", []
        yield "item", [object]
        if entry.get("uniqueItems"):
            yield "twice", [*(entry["default"] or []), "one"][:1] * 2


def misspelt(key):
    return key[:-1] + ("x" if key[-1] != "x" else "y")


def generated():
    """All wrong configs that the schema tells of: name, path, wrong value."""
    for path, entry in named_leaves():
        for kind, value in wrong_values(entry):
            yield pytest.param(path, value, id=f"{'.'.join(path)}-{kind}")


CASES = list(generated())


def assert_one_clear_line(error, *expected):
    message = str(error.value)
    assert "\n" not in message
    for word in expected:
        assert word in message, message


@pytest.mark.parametrize(("path", "value"), CASES)
def test_wrong_value_of_any_key_is_refused_by_its_path(config, path, value):
    with pytest.raises(ClxaiError) as error:
        check(changed(config, {".".join(path): value}))
    assert_one_clear_line(error, ".".join(path))


def test_the_generated_cases_are_many():
    assert len(CASES) >= 200


@pytest.mark.parametrize("path", [path for path, _ in named_leaves()], ids=".".join)
def test_misspelt_key_is_refused_with_the_right_one(config, path):
    wrong = (*path[:-1], misspelt(path[-1]))
    with pytest.raises(ClxaiError) as error:
        check(changed(config, {".".join(wrong): None}))
    assert_one_clear_line(error, f"unknown key {wrong[-1]!r}", f"{path[-1]}")
    assert "Did you mean" in str(error.value) or len(path[-1]) < 5


@pytest.mark.parametrize(("path", "key"), [((), "study"), ((), "datasets"), ((), "models"), (("datasets", "digits"), "source")])
def test_missing_key_is_refused(config, path, key):
    section = config
    for name in path:
        section = section[name]
    del section[key]
    with pytest.raises(ClxaiError) as error:
        check(config)
    assert_one_clear_line(error, f"'{key}' is a required property")


def methods(**entries):
    return {"methods": entries, "study.methods": ["random", *entries]}


def torchvision(name, **changes):
    return {f"datasets.digits.{key}": value for key, value in {"source": "torchvision", "name": name, **changes}.items()}


SEMANTIC = {
    "window above the image": (
        methods(occlusion={"window": 25, "stride": 5}),
        "methods.occlusion.window must be at most the 16 px",
    ),
    "window of an own name": (
        methods(big={"method": "occlusion", "window": 30}),
        "methods.big.window must be at most the 16 px of the images of datasets.digits. Got 30",
    ),
    "own name of another method": (
        methods(saliency={"method": "grad_cam"}),
        "methods.saliency: 'saliency' is a registered attribution method and cannot stand for 'grad_cam'",
    ),
    "model named like a folder": (
        {"models.logs": {"loss": "supcon"}, "study.models": ["logs"]},
        "models: 'logs' is a folder of every data set",
    ),
    "model named like the mean over all": (
        {"models.all": {"loss": "supcon"}},
        "models: 'all' stands in the tables for the mean over all; choose another name",
    ),
    "head named like the mean over all": ({"heads": {"all": {"head": "knn"}}}, "heads: 'all' stands in the tables"),
    "method named like the mean over all": (methods(all={"method": "lrp"}), "methods: 'all' stands in the tables"),
    "fill named like the mean over all": ({"flipping.fills": ["all"]}, "fills: 'all' stands in the tables"),
    "data set named like the folder of the studies": (
        {"datasets.studies": {"source": "digits"}, "study.datasets": ["studies"]},
        "study.datasets: 'studies' is the folder of the studies' tables",
    ),
    "path as a name of a study": ({"study.name": "../x"}, "study.name: '../x' does not match"),
    "line feed after a name": ({"models": {"ce\n": {"loss": "supcon"}}}, "models"),
    "path as a name of a model": ({"models": {"../ce": {"loss": "supcon"}}}, "'../ce' does not match"),
    "absolute path as a name": ({"datasets": {"/tmp/x": {"source": "digits"}}}, "'/tmp/x' does not match"),
    "path as a name of a method": ({"methods": {"a/b": {"method": "lrp"}}}, "'a/b' does not match"),
    "shell as a name": ({"models": {"$(id)": {"loss": "supcon"}}}, "'$(id)' does not match"),
    "path as a head": ({"study.heads": ["../knn"]}, "heads: unknown head '../knn'. Did you mean 'knn'?"),
    "number as a name": ({"models": {1: {"loss": "supcon"}}}, "models: keys must be text. Got 1"),
    "yes as a name": ({"datasets": {True: {"source": "digits"}}}, "datasets: keys must be text. Got True"),
    "infinite option": ({"heads": {"linear": {"C": math.inf}}}, "heads.linear.C must be a finite number. Got inf"),
    "option not a number": (methods(smoothgrad={"sigma": math.nan}), "methods.smoothgrad.sigma must be a finite number. Got nan"),
    "first label of a set that counts itself": (
        {"datasets.digits.first_label": 1},
        "digits.first_label is for source npz. Got 1",
    ),
    "path of a set that has none": (
        {"datasets.digits.path": "x"},
        "digits.path is for source folder or npz or torch",
    ),
    "EMNIST without its argument": (torchvision("EMNIST"), "datasets.digits.arguments: torchvision's EMNIST needs split. Got {}"),
    "unknown argument": (
        torchvision("EMNIST", arguments={"spilt": "letters"}),
        "datasets.digits.arguments: unknown argument of EMNIST 'spilt'. Did you mean 'split'?",
    ),
    "argument that is the workflow's": (torchvision("CIFAR10", arguments={"train": True}), "unknown argument of CIFAR10 'train'"),
    "root as an argument": (torchvision("CIFAR10", arguments={"root": "/"}), "unknown argument of CIFAR10 'root'"),
    "nested argument": (torchvision("EMNIST", arguments={"split": ["letters"]}), "datasets.digits.arguments.split"),
    "arguments of another source": (
        {"datasets.digits.arguments": {"split": "x"}},
        "datasets.digits.arguments is for source planted or tones or torchvision or wav. Got",
    ),
    "torchvision set without parts": (
        torchvision("LSUN"),
        "datasets.digits.name: torchvision's LSUN has no train and test split",
    ),
    "unchecked download": (torchvision("FGVCAircraft", download=True), "torchvision fetches FGVCAircraft without a checksum"),
    "download of what cannot be fetched": (torchvision("FER2013", download=True), "torchvision cannot fetch FER2013"),
}


@pytest.mark.parametrize("case", SEMANTIC)
def test_config_that_cannot_work_is_refused(config, case):
    changes, message = SEMANTIC[case]
    with pytest.raises(ClxaiError) as error:
        check(changed(config, changes))
    assert_one_clear_line(error, message)


@pytest.mark.parametrize("name", ["CIFAR10", "FashionMNIST", "SVHN", "STL10", "GTSRB", "Country211"])
def test_torchvision_set_that_needs_nothing_more_passes(config, name):
    check(changed(config, torchvision(name, size=32)))


def test_emnist_with_its_argument_passes(config):
    check(changed(config, torchvision("EMNIST", size=28, arguments={"split": "balanced"})))


@pytest.mark.parametrize(
    ("text", "twice", "line"),
    [
        ("study: {seed: 1}\nflipping: {}\nstudy: {seed: 2}\n", "study", 3),
        ("models:\n  ce: {loss: supcon}\n  ce: {loss: triplet}\n", "ce", 3),
        ("flipping:\n  fills: [mean]\n  steps: 4\n  fills: [zero]\n", "fills", 4),
        ("checks: {alpha: 0.1, alpha: 0.2}\n", "alpha", 1),
    ],
)
def test_key_given_twice_is_refused_with_its_line(tmp_path, text, twice, line):
    """YAML would take the last one and say nothing."""
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ClxaiError, match=rf"study\.yaml, line {line}: '{twice}' is given twice"):
        check_keys(tmp_path / "study.yaml")


def test_json_is_read_as_json(tmp_path):
    """Tabs included, as Snakemake reads it; a key twice is refused there too."""
    path = tmp_path / "study.json"
    path.write_text('{\n\t"study": {\n\t\t"seeds": [0]\n\t}\n}')
    check_keys(path)
    path.write_text('{"study": {"seeds": [0], "seeds": [1]}}')
    with pytest.raises(ClxaiError, match=r"study\.json: 'seeds' is given twice"):
        check_keys(path)


def test_file_that_is_neither_json_nor_yaml_is_one_line(tmp_path):
    (tmp_path / "study.yaml").write_text("study:\n\tseeds: [0]\n")
    with pytest.raises(ClxaiError, match=r"study\.yaml is neither JSON nor YAML: line 2: found character"):
        check_keys(tmp_path / "study.yaml")


@pytest.mark.parametrize("config_file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_committed_configs_give_every_key_once(config_file):
    check_keys(config_file)


def test_job_that_reads_an_edited_config_is_refused(config):
    """Jobs on a cluster read the file anew; what they inherit is the checksum of what was planned."""
    environment = {}
    check_unchanged(config, environment, is_main=True)
    check_unchanged(config, environment, is_main=False)
    config["flipping"]["steps"] += 1
    with pytest.raises(ClxaiError, match="the config was edited after this run of Snakemake was started"):
        check_unchanged(config, environment, is_main=False)
    check_unchanged(config, environment, is_main=True)


def test_configs_of_two_modules_of_one_run_are_both_planned(config):
    environment, other = {}, {**config, "checks": {}}
    check_unchanged(config, environment, is_main=True)
    check_unchanged(other, environment, is_main=True)
    check_unchanged(config, environment, is_main=False)
    check_unchanged(other, environment, is_main=False)
    with pytest.raises(ClxaiError, match="was edited"):
        check_unchanged({**config, "models": {}}, environment, is_main=False)


def medmnist(n=40, shape=(16, 16), dtype=np.uint8, splits=("train", "val", "test")):
    arrays = {f"{name}_images": np.zeros((n, *shape), dtype) for name in splits}
    return arrays | {f"{name}_labels": np.arange(n, dtype=np.uint8)[:, None] % 3 for name in splits}


def save(path, **changes):
    np.savez_compressed(path, **{name: array for name, array in {**medmnist(), **changes}.items() if array is not None})
    return path


def raw(path, **members):
    """A zip file with these members, whatever they hold."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


OBJECTS = np.array([{}], dtype=object)
BAD_NPZ = {
    "keys of another layout": (
        lambda path: raw(path, **{"x.npy": npy(np.zeros(3))}),
        "train_images is missing or empty. Found: x. Needed: train_images, train_labels;",
    ),
    "no training images": (lambda path: save(path, train_images=None), "train_images is missing or empty. Found: test_images"),
    "no images at all": (
        lambda path: save(path, train_images=np.zeros((0, 16, 16), np.uint8)),
        "train_images is missing or empty",
    ),
    "fewer labels": (lambda path: save(path, test_labels=np.zeros(39, int)), "40 test_images but 39 labels"),
    "several labels each": (lambda path: save(path, val_labels=np.zeros((40, 2), int)), "40 val_images but 80 labels"),
    "no labels": (lambda path: save(path, val_labels=None), "40 val_images but 0 labels"),
    "flat images": (lambda path: save(path, train_images=np.zeros((40, 256), np.uint8)), "train_images must be [image, y, x] or"),
    "integer pixels": (lambda path: save(path, val_images=np.zeros((40, 16, 16), np.int64)), "val_images: pixels must be uint8"),
    "complex pixels": (lambda path: save(path, val_images=np.zeros((40, 16, 16), complex)), "val_images: pixels must be uint8"),
    "labels that are real": (
        lambda path: save(path, train_labels=np.full(40, np.nan)),
        "labels must be integers 0..C-1. Found float64",
    ),
    "labels that are text": (
        lambda path: save(path, train_labels=np.array(["a"] * 40)),
        "labels must be integers 0..C-1. Found <U1",
    ),
    "Python objects": (lambda path: raw(path, **{"train_images.npy": npy(OBJECTS, allow_pickle=True)}), "holds Python objects"),
    "no array": (
        lambda path: raw(path, **{"train_images.npy": b"images"}),
        "not a readable npz file (train_images.npy is no array)",
    ),
    "code as a header": (
        lambda path: raw(path, **{"train_images.npy": b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').mkdir('harm')  \n"}),
        "not a readable npz file",
    ),
    "endless header": (
        lambda path: raw(path, **{"train_images.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f"}),
        "header of train_images",
    ),
    "no archive": (lambda path: path.write_text("images") and path, "not a readable npz file"),
    "empty file": (lambda path: path.touch() or path, "not a readable npz file"),
    "a folder": (lambda path: path.mkdir() or path, "not a readable npz file"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_npz_that_cannot_work_is_refused_while_planning(config, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    write, message = BAD_NPZ[case]
    path = write(tmp_path / "a.npz")
    config["datasets"]["digits"] |= {"source": "npz", "path": str(path), "size": None}
    with pytest.raises(ClxaiError) as error:
        check(config)
    assert_one_clear_line(error, "a.npz", message)
    assert not (tmp_path / "harm").exists()


NPZ = {"source": "npz", "size": None}
FITTING = {"units": {"grid": {"height": 4, "width": 4}}, "flipping.steps": 16}  # k and bank_k, not given, fit themselves


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": {"knn": {"k": 41}}}, "heads.knn.k must be at most the 40 training images of digits. Got 41"),
        ({"flipping.bank_k": 41}, "flipping.bank_k must be at most the 40 training images of digits. Got 41"),
        ({"samples.evaluation.images": 41}, "samples.evaluation.images must be at most the 40 test images of digits. Got 41"),
        ({"units.grid.height": 5}, "units.grid.height must tile 16 px of datasets.digits"),
        ({"flipping.steps": 17}, "flipping.steps must be at most the 16 units"),
        (methods(occlusion={"window": 17}), "methods.occlusion.window must be at most the 16 px"),
        ({"models.ce.network_options": {"stem": "large"}}, "datasets.digits.size must be at least 64 px for models.ce"),
    ],
)
def test_size_and_counts_of_an_npz_are_known_while_planning(config, tmp_path, changes, message):
    config["datasets"]["digits"] |= {**NPZ, "path": str(save(tmp_path / "a.npz"))}
    config = changed(config, FITTING)
    check(config)
    with pytest.raises(ClxaiError) as error:
        check(changed(config, changes))
    assert_one_clear_line(error, message)


def image_folder(root, counts):
    for part, number in counts.items():
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for place in range(number // 2):
                Image.new("RGB", (16, 16)).save(root / part / name / f"{place}.png")
    return root


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({".": 40}, (27, 8)),
        ({"train": 20, "test": 10}, (17, 10)),
        ({"train": 20, "val": 4, "test": 10}, (20, 10)),
        ({"x": 0}, (None, None)),
    ],
)
def test_images_of_a_folder_are_counted_as_they_will_be_split(config, tmp_path, counts, expected):
    entry = {**config["datasets"]["digits"], "source": "folder", "path": str(image_folder(tmp_path, counts)), "size": None}
    extent = measure(entry, "datasets.digits")
    assert (extent.images["train"], extent.images["test"]) == expected


def test_measured_counts_are_those_of_the_prepared_data(config, tmp_path):
    from clxai.data.datasets import open_prepared
    from clxai.data.preparing import prepare

    entry = {**config["datasets"]["digits"], "limit": {"test": 50}}
    prepare(entry, tmp_path / "images.npy", tmp_path / "labels.nc")
    data, extent = open_prepared("digits", tmp_path / "images.npy", tmp_path / "labels.nc"), measure(entry, "datasets.digits")
    assert extent.images == {split: len(data.indices(split)) for split in SPLITS} == {"train": 1222, "val": 216, "test": 50}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_headers_are_those_that_numpy_wrote(tmp_path, dtype, write):
    write(tmp_path / "a.npz", **medmnist(shape=(9, 9, 3), dtype=dtype), other=np.arange(3))
    headers = read_headers(tmp_path / "a.npz")
    assert headers["val_images"].shape == (40, 9, 9, 3)
    assert np.dtype(headers["val_images"].descr) == np.dtype(dtype)
    assert "other" not in headers
