"""What a study needs and does not show is made for it: models that others start from, maps of other methods.

What is planned for it is tested in test_planning.py; here it is trained, explained and planned again, in the campaign.
"""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from clxai.registry import declared
from clxai.runtime.artefacts import read_arrays, read_tensors
from clxai.runtime.integrity import file_digest
from clxai.training.starting import part_of
from project import ROOT, copy_project, replaced

pytestmark = [pytest.mark.campaign, pytest.mark.xdist_group("lineage")]  # one small study

LINEAGE = "tests/workflow/lineage.yaml"
TARGETS = ("models_all", "tables_all")


@pytest.fixture(scope="session")
def grown(tmp_path_factory):
    """A finished study of a fine-tuned model, its parent outside the study, and of a model with a layer drawn anew."""
    project = copy_project(tmp_path_factory.mktemp("lineage"))
    shutil.copy(ROOT / LINEAGE, project.folder / LINEAGE)
    process = project.snakemake("--cores", "2", *TARGETS, config=LINEAGE)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    return project


def run_of(project, model):
    return project.folder / f"results/digits/{model}/seed0"


def test_study_shows_its_own_models_and_trains_their_parent_alone(grown):
    with (grown.folder / "results/studies/lineage/digits/tables/models.csv").open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert {name: (row["epoch"], row["epochs"]) for name, row in rows.items()} == {"tuned": ("1", "1"), "broken": ("0", "0")}
    assert rows["broken"]["final_loss"] == ""
    assert (run_of(grown, "parent") / "model.safetensors").exists()
    assert not (run_of(grown, "parent") / "embeddings.nc").exists()
    assert grown.planned(*TARGETS, config=LINEAGE) == {}


@pytest.mark.parametrize(("model", "parent", "top"), [("tuned", "parent", "new"), ("broken", "tuned", "taken over")])
def test_record_names_the_checkpoint_that_a_model_starts_from(grown, model, parent, top):
    record = json.loads((run_of(grown, model) / "training.json").read_text())
    assert (record["start"], record["start_top"]) == (parent, top)
    assert record["start_sha256"] == file_digest(run_of(grown, parent) / "model.safetensors")


def test_model_without_training_differs_from_its_start_in_the_layer_that_was_drawn_anew(grown):
    own, start = (read_tensors(run_of(grown, model) / "model.safetensors")[0] for model in ("broken", "tuned"))
    layers = declared("networks")["resnet18"].semantics["layers"]
    assert {part_of(name, layers) for name in own if not own[name].equal(start[name])} == {"layer4"}


def test_borrowed_maps_are_those_of_the_other_model_and_of_another_sample(grown):
    for model, lender in (("tuned", "broken"), ("broken", "tuned")):
        found = read_arrays(run_of(grown, model) / "attributions/evaluation/lent.nc")
        training = read_arrays(run_of(grown, lender) / "attributions/training/saliency.nc")["attribution"]
        expected = np.broadcast_to(training.mean("image").values[:, None], found["attribution"].shape)
        np.testing.assert_allclose(found["attribution"], expected, rtol=1e-4, atol=1e-6)
        names = ("option_model", "option_of", "borrowed_method", "borrowed_heads", "signed")
        assert [found.attrs[name] for name in names] == [lender, "average", "mean_map", "softmax: softmax", 0]
        assert not (run_of(grown, lender) / "curves/evaluation/grid/average.nc").exists()


AFTER_MAPS = {"summarise": 1, "assess_trust": 1, "check_study": 1, "rank_methods": 1}
LENDERS = ("{tuned: broken, broken: tuned}", "{tuned: broken, broken: broken}")
DOCSTRING = ("One map for all", "The map for all")


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        (LINEAGE, ("images: 10", "images: 12"), {"sample_images": 1, "attribute": 6, "flip": 2, **AFTER_MAPS}),
        (LINEAGE, LENDERS, {"attribute": 1, "flip": 1, **AFTER_MAPS}),
        ("workflow/scripts/clxai/attribution/lent.py", DOCSTRING, {"attribute": 4, "flip": 2, **AFTER_MAPS}),
    ],
    ids=["sample", "model", "code"],
)
def test_what_is_made_of_borrowed_maps_reruns_with_them(grown, file, change, expected):
    with grown.edited(file, replaced(change)):
        assert grown.planned("tables_all", config=LINEAGE) == expected


def test_deleted_parent_is_trained_again_and_its_children_with_it(grown, tmp_path):
    parent = run_of(grown, "parent") / "model.safetensors"
    parent.rename(tmp_path / "deleted")
    try:
        planned = grown.planned(*TARGETS, config=LINEAGE)
    finally:
        (tmp_path / "deleted").rename(parent)
    assert (planned["train_model"], planned["embed_images"]) == (3, 2)
    assert "prepare_data" not in planned


def test_changed_recipe_of_the_parent_trains_its_children_again_and_that_of_a_child_not_the_parent(grown):
    for model, trained in (("parent", 3), ("tuned", 2), ("broken", 1)):
        edit = re.sub(rf"(  {model}:\s*{{)", r"\1weight_decay: 0, ", (ROOT / LINEAGE).read_text())
        with grown.edited(LINEAGE, lambda text, edit=edit: edit):
            assert grown.planned(*TARGETS, config=LINEAGE)["train_model"] == trained


def test_record_has_the_masks_of_the_model_that_is_trained_with_them_and_of_no_other(grown):
    records = {model: json.loads((run_of(grown, model) / "training.json").read_text()) for model in ("parent", "tuned")}
    units = {"units": "grid", "options": {"height": 4, "width": 4}}
    fill = {"name": "noise", "fill": "noise", "options": {}}
    assert "masks" not in records["parent"]
    assert records["tuned"]["masks"] == {"share": 0.5, "units": units, "fill": fill}
    assert "up to 8 are removed" in (run_of(grown, "tuned") / "logs/train_model.log").read_text()


@pytest.mark.parametrize(("member", "trained"), [("fills/noise", 2), ("units/grid", 2), ("fills/blur", None)])
def test_edited_member_of_the_masks_trains_the_models_that_use_it_again(grown, member, trained):
    """And what starts from them."""
    with grown.edited(f"workflow/scripts/clxai/{member}.py", lambda text: text + "\n# edited\n"):
        assert grown.planned(*TARGETS, config=LINEAGE).get("train_model") == trained
