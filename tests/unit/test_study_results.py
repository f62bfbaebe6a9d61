"""What a study produced is opened by its place and read when it is asked for."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray
from clxai.errors import ClxaiError
from clxai.runtime.artefacts import write_arrays, write_record, write_table
from clxai.study import load_study

KEPT = Path(__file__).parents[2] / "docs" / "results" / "default"
HEADS = {"ce": ["softmax", "knn"], "supcon": ["knn"]}


def maps_of(model, seed, method):
    shape = (len(HEADS[model]), 2, 3, 3)
    values = np.full(shape, 10 * seed + len(method), np.float32)
    coords = {"head": HEADS[model], "image": [4, 7]}
    return xarray.Dataset({"attribution": (("head", "image", "y", "x"), values)}, coords, {"method": method, "seed": seed})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two models, two seeds, two methods, two settings of units; beside them a model and a method of another study."""
    root = tmp_path_factory.mktemp("project") / "results"
    home, rows = root / "studies" / "mine" / "dots", []
    for model in ("ce", "supcon"):
        for seed in (0, 1):
            found = xarray.Dataset({"ratio": (("image",), np.full(2, seed, np.float32))}, {"image": [4, 7]})
            write_arrays(found, root / "dots" / model / f"seed{seed}" / "analyses" / "evaluation" / "margin.nc")
            for method in ("lrp", "saliency", "other"):
                run = root / "dots" / model / f"seed{seed}"
                write_arrays(maps_of(model, seed, method), run / "attributions" / "evaluation" / f"{method}.nc")
                for units, steps in (("grid", 4), ("tiles", 2)):
                    curve = xarray.Dataset({"drift_l2": (("step",), np.full(steps, seed, np.float32))}, attrs={"method": method})
                    write_arrays(curve, run / "curves" / "evaluation" / units / f"{method}.nc")
                    if method != "other":
                        rows.append({"model": model, "seed": seed, "units": units, "method": method})
    shutil.copytree(root / "dots" / "ce", root / "dots" / "strange")
    write_table(pd.DataFrame(rows), home / "tables" / "maps.csv")
    write_table(pd.DataFrame({"mean": [0.5]}), home / "tables" / "summary.csv")
    write_record({"name": "mine", "models": ["ce", "supcon"]}, home / "verdict.json")
    (home / "verdict.md").write_text("# Found\n")
    return home


@pytest.fixture(scope="module")
def study(place):
    return load_study(place)


def test_study_is_found_by_its_folder_or_the_one_above(place, study):
    assert load_study(place.parent).path == study.path == place
    assert study.design["models"] == ["ce", "supcon"]
    assert study.verdict == "# Found\n"
    assert study.runs == place.parents[2] / "dots"


def test_tables_are_read_when_they_are_asked_for(place):
    tables = load_study(place).tables
    (place / "tables" / "broken.csv").write_text("cut")
    tables = load_study(place).tables
    assert {"maps", "summary", "broken"} == set(tables)
    assert "sumary" not in tables
    assert tables["summary"]["mean"].item() == 0.5
    assert tables["summary"] is tables["summary"]
    with pytest.raises(ClxaiError, match=r"broken\.csv: not a readable CSV table"):
        tables["broken"]
    with pytest.raises(ClxaiError, match=r"unknown table 'sumary'\. Did you mean 'summary'"):
        tables["sumary"]
    (place / "tables" / "broken.csv").unlink()


def test_files_are_those_of_the_study_alone(study):
    """Studies share their runs: what another one made is left out."""
    assert len(study.files("attributions")) == 2 * 2 * 2
    found = study.files("curves")
    assert len(found) == 2 * 2 * 2 * 2
    assert set(found["model"]) == {"ce", "supcon"}
    assert set(found["method"]) == {"lrp", "saliency"}
    with pytest.raises(ClxaiError, match=r"unknown kind of arrays 'curve'\. Did you mean 'curves'"):
        study.files("curve")


def test_arrays_have_an_axis_for_what_there_is_several_of(study):
    found = study.attributions(method="lrp")
    assert dict(found.sizes) == {"model": 2, "seed": 2, "head": 2, "image": 2, "y": 3, "x": 3}
    assert found["attribution"].sel(seed=1, model="ce").values.min() == 13
    assert found.attrs["method"] == "lrp" and "seed" not in found.attrs
    one = study.attributions(method="lrp", model="supcon", seed=1)
    assert one["attribution"].dims == ("head", "image", "y", "x")
    assert (str(one["model"].item()), one["seed"].item()) == ("supcon", 1)
    assert study.attributions(model="ce", seed=[0, 1], method=["lrp", "saliency"]).sizes["method"] == 2


def test_heads_that_a_model_lacks_are_empty(study):
    found = study.attributions(method="lrp")["attribution"]
    assert np.isnan(found.sel(model="supcon", head="softmax")).all()
    assert np.isfinite(found.sel(model="supcon", head="knn")).all()


WRONG = [
    ({}, "choose one of the units, as in units='grid'"),
    ({"units": "gird"}, r"no curves of units 'gird'\. Known: grid, tiles"),
    ({"seed": 5}, r"no curves of seed 5\. Known: 0, 1"),
    ({"head": "knn"}, "unknown axis of curves 'head'"),
]


@pytest.mark.parametrize(("where", "message"), WRONG)
def test_what_is_not_there_is_said(study, where, message):
    with pytest.raises(ClxaiError, match=message):
        study.curves(**where)


def test_committed_tables_are_a_study_without_runs():
    study = load_study(KEPT)
    assert study.design["name"] == "default"
    assert {"ce", "supcon"} <= set(study.tables["summary"]["model"])
    assert study.verdict.startswith("#")
    with pytest.raises(ClxaiError, match="no such training; the study's tables are there without its runs"):
        study.embeddings("ce", 0)
    with pytest.raises(ClxaiError, match="no curves in"):
        study.curves()


@pytest.mark.parametrize("content", [[], ["one", "two"]])
def test_a_folder_without_a_study_or_with_several_is_refused(tmp_path, content):
    for name in content:
        write_table(pd.DataFrame({"mean": [0.5]}), tmp_path / name / "tables" / "summary.csv")
    message = r"Found several data sets: one, two" if content else r"results/studies/\{study\}/\{dataset\}\. Found no tables"
    with pytest.raises(ClxaiError, match=message):
        load_study(tmp_path)


def test_what_an_analysis_found_is_read_by_its_name(study):
    assert study.analysis("margin", "supcon", 1)["ratio"].values.tolist() == [1, 1]
    with pytest.raises(ClxaiError, match="unknown analysis 'margins'"):
        study.analysis("margins", "ce", 0)
