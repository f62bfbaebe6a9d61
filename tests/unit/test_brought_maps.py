"""Maps in files are the same as those of a method, whatever their order; what is not declared or does not fit is refused."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.attribution.brought import read_brought
from clxai.attribution.explaining import explain
from clxai.data.datasets import ids_of
from clxai.data.exporting import export_images
from clxai.errors import ClxaiError
from clxai.flipping.curves import flip_curves
from clxai.planning.brought import map_files_of
from clxai.planning.params import attribute
from PIL import Image
from project import check, grid

SETTINGS = {
    **{"fills": ["mean"], "steps": 4, "units": grid(4), "seed": 0, "batch_size": 64},
    **{"precision": "float32", "trajectories": 2, "bank_k": 5},
}


@pytest.fixture(scope="module")
def few(tiny_run):
    return tiny_run.at(tiny_run.index[:5].numpy())


@pytest.fixture(scope="module")
def saliency(few):
    return explain(few, "saliency", {}, 0)


@pytest.fixture
def told(tmp_path):
    """Options of the method `file`, as a job gets them."""

    def make(path="maps.npy", order="sample", **others):
        defaults = {"signed": False, "channels": None, "ids": None, "shared": False}
        return {**defaults, "path": str(tmp_path / path), "order": order, **others}

    return make


def explained(run, options):
    return explain(run, "file", options, 0, borrowed=read_brought(run, options))


def test_a_saved_map_of_a_method_gives_its_curves_byte_for_byte(few, saliency, told):
    options = told("{head}.npy")
    for head in few.heads:
        np.save(options["path"].replace("{head}", head), saliency["attribution"].sel(head=head).values)
    found = explained(few, options)
    np.testing.assert_array_equal(found["attribution"], saliency["attribution"])
    assert {name: found.attrs[name] for name in ("signed", "per_head", "families")} == {
        "signed": 0,
        "per_head": 1,
        "families": "given",
    }
    expected, curves = (flip_curves(few, maps, SETTINGS) for maps in (saliency, found))
    for name in expected:
        assert curves[name].values.tobytes() == expected[name].values.tobytes(), name


@pytest.fixture
def shuffled(few, saliency, tmp_path):
    """The maps of one head in another order, among those of other images; writes them in a form."""
    everything, permuted = np.arange(len(few.data.images)), np.random.default_rng(0).permutation(len(few.data.images))
    ids = ids_of(few.data, everything[permuted])
    maps = np.random.default_rng(1).random((len(permuted), 16, 16))
    places = {image: place for place, image in enumerate(ids["index"].tolist())}
    for number, image in enumerate(few.index.tolist()):
        maps[places[image]] = saliency["attribution"][0, number]

    def write(form, order):
        if form == "npz":
            np.savez(tmp_path / "maps.npz", maps=maps, **{order: ids[order]})
        elif form == "nc":
            names = {"index": "image"}
            found = xarray.Dataset({"maps": (("image", "y", "x"), maps), names.get(order, order): ("image", ids[order])})
            found.to_netcdf(tmp_path / "maps.nc", engine="h5netcdf")
        else:
            np.save(tmp_path / "maps.npy", maps)
            pd.DataFrame(ids).to_csv(tmp_path / "ids.csv", index=False)
            return {"path": "maps.npy", "ids": str(tmp_path / "ids.csv")}
        return {"path": f"maps.{form}"}

    return write


@pytest.mark.parametrize("order", ["index", "crc32", "name"])
@pytest.mark.parametrize("form", ["npy", "npz", "nc"])
def test_maps_find_their_images_by_an_id(few, saliency, shuffled, told, form, order):
    run = replace(few, data=replace(few.data, names=np.array([f"{number}.png" for number in range(len(few.data.images))])))
    if order == "name":
        few = run
    written = shuffled(form, order) if order != "name" else named(run, saliency, told, form)
    found = read_brought(run, told(order=order, **written))
    np.testing.assert_array_equal(found["attribution"][0], saliency["attribution"][0].values.astype(np.float32))
    assert found.attrs["per_head"] == 0


def named(run, saliency, told, form):
    """The maps of the images of a run by name, backwards."""
    path = told(f"maps.{form}")["path"]
    maps, names = saliency["attribution"][0].values[::-1], run.data.names[run.index.numpy()][::-1]
    if form == "npz":
        np.savez(path, maps=maps, name=names)
    elif form == "nc":
        xarray.Dataset({"maps": (("i", "y", "x"), maps), "name": ("i", names.tolist())}).to_netcdf(path, engine="h5netcdf")
    else:
        np.save(path, maps)
        pd.DataFrame({"name": names}).to_csv(path.replace("maps.npy", "names.csv"), index=False)
        return {"path": "maps.npy", "ids": path.replace("maps.npy", "names.csv")}
    return {"path": f"maps.{form}"}


@pytest.mark.parametrize(
    ("channels", "expected"),
    [("sum", lambda maps: maps.sum(1)), ("abs_sum", lambda maps: abs(maps).sum(1)), ("mean", lambda maps: maps.mean(1))],
)
def test_channels_are_reduced_as_declared(few, told, channels, expected):
    maps = np.random.default_rng(0).normal(size=(5, 3, 16, 16)).astype(np.float32)
    np.save(told()["path"], maps)
    found = read_brought(few, told(channels=channels, signed=channels != "abs_sum"))["attribution"][0]
    np.testing.assert_allclose(found, expected(maps), rtol=1e-5, atol=1e-6)


def test_constant_maps_are_counted_and_ranked_at_random(few, told):
    maps = np.random.default_rng(0).random((5, 16, 16))
    maps[2] = 0.5
    np.save(told()["path"], maps)
    curves = flip_curves(few, explained(few, told()), SETTINGS)
    assert curves["degenerate"][0].values.tolist() == [0, 0, 1, 0, 0]


GOOD = np.random.default_rng(0).random((5, 16, 16))
WRONG = {
    "missing": (None, {}, "maps.npy: no such file"),
    "no array": (b"text", {}, "maps.npy: not a readable .npy file"),
    "objects": (np.array([{}], dtype=object), {}, "not a readable .npy file"),
    "texts": (np.full((5, 16, 16), "a"), {}, "maps must be numbers. Found <U1"),
    "axes": (GOOD[0], {}, "maps must be [image, y, x] or [image, channel, y, x]. Found shape [16, 16]"),
    "number": (GOOD[:4], {}, "4 maps, but the sample has 5 images"),
    "size": (GOOD[:, :8], {}, "maps are of [8, 16] (height, width), the images of [16, 16]"),
    "not finite": (np.where(GOOD > 0.999, np.nan, GOOD), {}, "maps are not finite, the first is map"),
    "too large": (GOOD * 1e300, {}, "5 of 5 maps are not finite"),
    "sign": (GOOD - 0.5, {}, "signed is false, but"),
    "channels undeclared": (GOOD[:, None], {}, "set channels to sum, abs_sum or mean"),
    "no channels": (GOOD, {"channels": "sum"}, "maps of shape [5, 16, 16] and channels sum: leave channels out"),
    "no ids": (GOOD, {"order": "crc32"}, "order crc32 needs an array 'crc32' of 5 ids in the file, or a CSV file `ids`"),
    "unknown images": (GOOD, {"order": "index", "ids": range(10**6, 10**6 + 5)}, "no map for 5 of 5 images, the first of index"),
    "twice": (np.concatenate([GOOD, GOOD[:1]]), {"order": "index", "ids": "twice"}, "2 maps for the image of index"),
    "no names": (GOOD, {"order": "name", "ids": list("abcde")}, "have no name: take order index, crc32"),
    "other column": (GOOD, {"order": "crc32", "ids": {"index": range(5)}}, "no column 'crc32'. Found index"),
}


@pytest.mark.parametrize("case", WRONG)
def test_file_that_does_not_fit_is_refused_in_one_line(few, told, tmp_path, case):
    content, changes, message = WRONG[case]
    options = told(**{key: value for key, value in changes.items() if key != "ids"})
    if isinstance(content, bytes):
        (tmp_path / "maps.npy").write_bytes(content)
    elif content is not None:
        np.save(tmp_path / "maps.npy", content)
    if "ids" in changes:
        ids = [*few.index.tolist(), int(few.index[0])] if changes["ids"] == "twice" else changes["ids"]
        table = pd.DataFrame(ids if isinstance(ids, dict) else {options["order"]: ids})
        table.to_csv(tmp_path / "ids.csv", index=False)
        options["ids"] = str(tmp_path / "ids.csv")
    with pytest.raises(ClxaiError, match=re.escape(message)) as refused:
        read_brought(few, options)
    assert "\n" not in str(refused.value)


@pytest.fixture
def planned(config, tmp_path, monkeypatch):
    """A config of one model and seed with a method `theirs` from a file, changed."""
    monkeypatch.chdir(tmp_path)
    np.save("maps.npy", np.zeros((30, 16, 16)))
    np.save("few.npy", np.zeros((7, 16, 16)))
    np.save("small.npy", np.zeros((30, 8, 8)))
    np.save("flat.npy", np.zeros((30, 64)))
    np.save("texts.npy", np.full((30, 16, 16), "a"))
    np.savez("maps.npz", maps=np.zeros((7, 16, 16)), index=np.arange(7))
    (tmp_path / "damaged.npz").write_bytes(b"x")
    config["study"] |= {"models": ["ce"], "seeds": [0], "methods": ["random", "theirs"]}
    config["datasets"]["digits"]["size"] = 16
    config["units"] = {"grid": {"height": 4, "width": 4}}

    def change(study=(), **options):
        config["study"] |= dict(study)
        given = {"method": "file", "path": "maps.npy", "order": "sample", "signed": False, **options}
        config["methods"]["theirs"] = {key: value for key, value in given.items() if value is not None}
        return config

    return change


class Job:
    dataset, model, seed, sample, method = "digits", "ce", 0, "evaluation", "theirs"


def test_maps_of_a_user_are_planned_as_inputs_of_their_job_alone(planned):
    config = planned()
    check(config)
    assert map_files_of(config, Job) == ["maps.npy"]
    assert map_files_of(config, SimpleNamespace(**{**vars(Job), "method": "random"})) == []
    config = planned(path="{dataset}-{model}-{seed}-{sample}-{head}.nc", ids="ids.csv", order="crc32")
    assert map_files_of(config, Job) == [*(f"digits-ce-0-evaluation-{head}.nc" for head in config["study"]["heads"]), "ids.csv"]
    assert attribute(config, Job)["options"]["path"] == "digits-ce-0-evaluation-{head}.nc"


def test_shared_maps_may_be_those_of_every_model_and_seed(planned):
    check(planned({"models": ["ce", "supcon"], "seeds": [0, 1]}, shared=True))


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ({}, {"path": None}, "methods.theirs.path must name a file that ends with .npy, .npz, .nc. Got None"),
        ({}, {"path": "maps.png"}, "methods.theirs.path must name a file that ends with .npy, .npz, .nc. Got 'maps.png'"),
        ({}, {"path": "absent.npy"}, "methods.theirs.path: 'absent.npy' does not exist"),
        ({}, {"path": "{modle}.npy"}, "methods.theirs.path: unknown place 'modle'. Did you mean 'model'?"),
        ({}, {"order": None}, "methods.theirs.order must say whose maps these are, one of sample, index, crc32, name. Got None"),
        (
            {},
            {"order": "crc"},
            "methods.theirs.order must say whose maps these are, one of sample, index, crc32, name. Got 'crc'",
        ),
        (
            {},
            {"signed": None},
            "methods.theirs.signed must be true, if negative values speak against the class, or false. Got None",
        ),
        ({}, {"channels": "max"}, "methods.theirs.channels: unknown reduction 'max'."),
        ({}, {"sign": True}, "methods.theirs: unknown option 'sign'. Did you mean 'signed'?"),
        ({}, {"order": "crc32", "ids": "absent.csv"}, "methods.theirs.ids: 'absent.csv' does not exist"),
        ({}, {"path": "few.npy"}, "methods.theirs.path: few.npy: 7 maps, but the sample has 30 images"),
        ({}, {"path": "maps.npz"}, "methods.theirs.path: maps.npz: 7 maps, but the sample has 30 images"),
        ({}, {"path": "small.npy"}, "methods.theirs.path: small.npy: maps are of [8, 8] (height, width), the images of [16, 16]"),
        ({}, {"path": "flat.npy"}, "methods.theirs.path: flat.npy: maps must be [image, y, x] or [image, channel, y, x]. Found"),
        ({}, {"path": "texts.npy"}, "methods.theirs.path: texts.npy: maps must be numbers. Found <U1"),
        ({}, {"path": "damaged.npz"}, "damaged.npz: not a readable .npz file"),
        ({"seeds": [0, 1]}, {}, "methods.theirs.path: one file for 2 seeds: put {seed} into it, or set shared: true"),
        ({"models": ["ce", "supcon"]}, {}, "methods.theirs.path: one file for 2 models: put {model} into it"),
    ],
)
def test_maps_that_cannot_be_are_refused_before_any_job(planned, study, options, message):
    with pytest.raises(ClxaiError, match=re.escape(message)) as refused:
        check(planned(study, **options))
    assert "\n" not in str(refused.value)


def test_exported_images_are_those_of_the_sample_with_their_ids(few, tmp_path):
    data, index = replace(few.data, names=np.array([f"{n}.png" for n in range(len(few.data.images))])), few.index.numpy()
    table = export_images(data, index, tmp_path / "exported")
    with np.load(tmp_path / "exported/images.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], data.images[index])
        np.testing.assert_array_equal(arrays["crc32"], data.images.crc32[index])
        first = (tmp_path / "exported/images.npz").read_bytes()
    read = pd.read_csv(tmp_path / "exported/ids.csv")
    assert list(read.columns) == list(table.columns) == ["index", "crc32", "name", "label", "class"]
    assert read["index"].tolist() == index.tolist()
    assert read["label"].tolist() == data.labels[index].tolist()
    for number, pixels in zip(index, data.images[index], strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"exported/png/{number}.png")), pixels[0])
    export_images(data, index, tmp_path / "again")
    assert (tmp_path / "again/images.npz").read_bytes() == first
