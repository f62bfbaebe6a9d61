"""Planning: targets, the catalog's entry, and wrong configs that are refused before anything is written."""

import json
import os
import re

import numpy as np
import pytest
from clxai.errors import ClxaiError
from clxai.planning.filling import merged
from PIL import Image
from project import ROOT, TINY, replaced

DEFAULT = None
AVERAGED = '''
"""A method of a stranger: one file."""

import torch

from clxai.attribution.base import Explanation, method


@method("averaged", families=("perturbation",), reduction="none", needs=("saliency", "grad_cam"))
def averaged(problem, options):
    """The mean of two maps."""
    return Explanation(torch.stack([problem.maps[name] for name in ("saliency", "grad_cam")]).mean(dim=0)[:, None])
'''


def test_default_study_plans_every_model_seed_and_method_from_either_entry(fresh):
    """That of the workflow catalog plans the same jobs."""
    planned = fresh.planned(config=DEFAULT)
    assert planned["train_model"] == 12
    assert planned["attribute"] == planned["flip"] == 84
    assert planned["fit_heads"] + planned["fit_heads_without_classifier"] == 12
    assert fresh.planned("-s", "workflow/Snakefile", config=DEFAULT) == planned


STAGES = ["models_all", "heads_all", "attributions_all", "curves_all", "tables_all", "verdict_all", "figures_all", "explorer_all"]


def test_every_stage_is_a_target_that_asks_for_files(fresh):
    process = fresh.snakemake("-n", *STAGES)
    output = process.stdout + process.stderr
    assert process.returncode == 0, output
    assert sorted(re.findall(r"rule (\w+_all):\s+input: results/", output)) == sorted(STAGES)


def test_copies_and_maps_of_noisy_images_are_planned_where_they_are_asked_for(fresh):
    """Of two models an untrained copy each, whose one map is lent: (3 + 1) methods that are shown, and that of the copy."""
    with (fresh.folder / TINY).open("a") as config:
        config.write("\nrandomisation: {methods: [saliency], parts: [layer4]}\nstability: {methods: [random, saliency]}\n")
    planned = fresh.planned()
    assert planned["train_model"] == planned["embed_images"] == 2 * 2
    assert (planned["attribute"], planned["flip"], planned["compare_maps"]) == (2 * (3 + 1 + 1), 2 * (3 + 1), 1)
    assert (planned["measure_stability"], planned["summarise_stability"]) == (2 * 2, 1)


def test_method_that_a_model_does_not_have_is_asked_of_the_others_by_every_stage(fresh):
    """Of a borrower of the start only the fine-tuned model has maps: 2 + 3 methods of three seeds, and of one in ViRelAy."""
    text = """
study: {models: [ce, ce_finetuned], methods: [random, saliency, saliency_start]}
methods: {saliency_start: {method: borrowed, of: saliency, model: start}}
statistics: {confirmatory: []}
"""
    with fresh.added("config/ragged.yaml", text):
        planned = fresh.planned("all", "virelay_all", config="config/ragged.yaml")
    assert planned["attribute"] == planned["flip"] == 15
    assert (planned["build_explorer"], planned["export_virelay"]) == (1, 2)


def test_methods_that_a_method_needs_are_run_and_not_flipped(fresh):
    module, config = fresh.folder / "workflow/scripts/clxai/attribution/averaged.py", fresh.folder / TINY
    module.write_text(AVERAGED)
    config.write_text(config.read_text().replace("random, saliency, grad_cam", "random, averaged"))
    planned = fresh.planned()
    assert (planned["attribute"], planned["flip"]) == (2 * 4, 2 * 2)
    target = "results/digits/ce/seed0/attributions/evaluation/averaged.nc"
    assert fresh.planned(target)["attribute"] == 3
    module.write_text(AVERAGED.replace('"grad_cam")', '"averaged")'))
    process = fresh.snakemake("-n", target)
    assert process.returncode != 0
    assert "attribution method 'averaged', by its needs, leads back to 'averaged'" in process.stdout + process.stderr


def test_maps_of_another_seed_model_and_sample_are_planned_and_not_flipped(fresh):
    """`ce` alone is shown, with two seeds: maps of the other seed, of a model outside the study, means over another sample."""
    text = (fresh.folder / TINY).read_text()
    study = (("[ce, supcon]", "[ce]"), ("seeds: [0]", "seeds: [3, 5]"), ("heads: [softmax, knn]", "heads: [softmax, linear]"))
    shown = ("[random, saliency, grad_cam]", "[random, seed, model, mean]")
    sample = ("{evaluation: {images: 12}}", "{evaluation: {images: 12}, training: {images: 9, split: train}}")
    methods = "methods: {seed: {method: borrowed, of: saliency, seed: next}, model: {method: borrowed, of: lrp, model: supcon}, "
    methods += "mean: {method: class_mean, of: grad_cam}}\nunits:"
    (fresh.folder / TINY).write_text(replaced(*study, shown, sample, ("units:", methods))(text))
    planned = fresh.planned("tables_all")
    assert planned["train_model"] == planned["embed_images"] == 2 * 2
    assert (planned["fit_heads"], planned["fit_heads_without_classifier"], planned["sample_images"]) == (2, 2, 2)
    assert (planned["attribute"], planned["flip"]) == (2 * (4 + 3), 2 * 4)
    run = "results/digits/ce/seed3/attributions/evaluation"
    process = fresh.snakemake("-n", f"{run}/seed.nc")
    assert "results/digits/ce/seed5/attributions/evaluation/saliency.nc" in process.stdout + process.stderr
    assert fresh.planned("attributions_all")["attribute"] == planned["attribute"]


def test_fashionmnist_study_is_config_alone(fresh):
    planned = fresh.planned(config="config/fashionmnist.yaml")
    assert planned["prepare_data"] == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("studdy: {}", "unknown key 'studdy'. Did you mean 'study'?"),
        ("study: {models: [supconn]}", "unknown model 'supconn'. Did you mean 'supcon'?"),
        ("datasets: {digits: {source: npz, path: Snakefile}}", "Snakefile: not a readable npz file"),
        ("datasets: {digits: {source: torchvision, name: EMNIST}}", "torchvision's EMNIST needs split"),
        ("flipping: {steps: 4}\nflipping: {steps: 8}", "line 2: 'flipping' is given twice"),
        ("study: !!python/object/apply:os.mkdir [results/harm]", "Config file is not valid JSON or YAML"),
        ("models: {ce: {learning_rate: 1e-3}}", "models.ce.learning_rate: expected number, got the string '1e-3'"),
    ],
)
def test_wrong_config_is_one_clear_line_and_writes_nothing(fresh, wrong, message):
    """One of each kind: the schema, a name, a file of the user, an argument, a key given twice, code in YAML, a type."""
    (fresh.folder / "wrong.yaml").write_text(wrong)
    process = fresh.snakemake("--cores", "1", config="wrong.yaml")
    output = process.stdout + process.stderr
    assert process.returncode != 0
    assert message in output
    assert "Traceback" not in output
    assert sorted(path.name for path in (fresh.folder / "results").iterdir()) == ["README.md"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("study: {methods: [random, grad_camm]}", "unknown attribution method 'grad_camm'. Did you mean 'grad_cam'?"),
        ("study: {heads: [kn]}", "unknown head 'kn'. Did you mean 'knn'?"),
        ("study: {methods: [saliency]}", "must include 'random'"),
        ("models: {ce: {loss: cross_entrop}}", "unknown loss 'cross_entrop'. Did you mean 'cross_entropy'?"),
        ("models: {supcon: {loss_options: {temperature: 0}}}", "models.supcon.loss_options.temperature must be > 0. Got 0"),
        ("heads: {knn: {k: 5000}}", "heads.knn.k must be at most the"),
        ("datasets: {digits: {size: 8}}", "datasets.digits.size must be at least 16"),
        ("units: {grid: {height: 5}}", "units.grid.height must tile 16 px of datasets.digits: one of"),
        ("datasets: {digits: {source: digit}}", "unknown data source 'digit'. Did you mean 'digits'?"),
        ("study: {methods: [random, occlusion]}\nmethods: {occlusion: {window: 25}}", "methods.occlusion.window must be at most"),
    ],
)
def test_wrong_config_is_refused_as_the_rules_read_it(tmp_path, wrong, message):
    """By the function that the rules call, with the same files."""
    (tmp_path / "wrong.yaml").write_text(wrong)
    with pytest.raises(ClxaiError, match=re.escape(message)):
        merged([ROOT / "config" / "config.yaml", tmp_path / "wrong.yaml"], ROOT / "workflow/schemas/config.schema.yaml")


def write_arrays_of(path, first):
    """Write an npz of 60 images in the MedMNIST layout; the first pixel says which file it is."""
    images = np.arange(60 * 16 * 16, dtype=np.uint8).reshape(60, 16, 16)
    images[0, 0, 0] = first
    np.savez(path, train_images=images, train_labels=np.arange(60) % 2)


def test_file_of_a_user_is_an_input_by_its_content(fresh):
    write_arrays_of(fresh.folder / "own.npz", 1)
    study = "study: {datasets: [own]}\nsamples: {evaluation: {images: 4}}\nflipping: {steps: 4}\n"
    (fresh.folder / "own.yaml").write_text(study + "datasets: {own: {source: npz, path: own.npz}}\n")
    target = "results/own/data/images.npy"
    process = fresh.snakemake("--cores", "1", target, config="own.yaml")
    assert process.returncode == 0, process.stdout + process.stderr
    os.utime(fresh.folder / "own.npz")
    assert fresh.planned(target, config="own.yaml") == {}
    write_arrays_of(fresh.folder / "own.npz", 2)
    os.utime(fresh.folder / "own.npz", (1, 1))  # an older file moved into its place
    assert fresh.planned(target, config="own.yaml") == {"prepare_data": 1}


def write_pictures(folder, value=0):
    """Write a folder of two classes of 20 images of 16 px; the first pixel of the first one is the value."""
    for number in range(40):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((16, 16), 5 * number, np.uint8)
        pixels[0, :2] = 200, value if number == 0 else 0
        Image.fromarray(pixels).save(path, compress_level=0)  # of one size, whatever the pixels
        os.utime(path, (10**9, 10**9))


def test_folder_of_a_user_is_an_input_as_watch_says(fresh):
    """What reruns after a new time stamp, after other pixels, and after other pixels with the old size and time."""
    study = "study: {datasets: [own]}\nsamples: {evaluation: {images: 4}}\nflipping: {steps: 4}\n"
    source = "{{source: folder, path: own, grey: true, watch: {}}}"
    modes = ("content", "stat", "none")
    entries = "".join(f"  {watch}: {source.format(watch)}\n" for watch in modes)
    (fresh.folder / "own.yaml").write_text(f"{study}datasets:\n{entries}".replace("[own]", f"[{', '.join(modes)}]"))
    targets = [f"results/{watch}/data/images.npy" for watch in modes]
    pictures, first = fresh.folder / "own", fresh.folder / "own/a/0.png"
    write_pictures(pictures)
    process = fresh.snakemake("--cores", "2", *targets, config="own.yaml")
    assert process.returncode == 0, process.stdout + process.stderr
    kept = fresh.folder / "results/content/data/.watch.json"
    assert len(json.loads(kept.read_text())) == 40

    def prepared():
        """The data sets that would be prepared again."""
        process = fresh.snakemake("-n", *targets, config="own.yaml")
        assert process.returncode == 0, process.stdout + process.stderr
        return re.findall(
            r"^rule prepare_data:.*?wildcards: dataset=(\w+)$", process.stdout + process.stderr, re.DOTALL | re.MULTILINE
        )

    assert prepared() == []
    os.utime(first)
    assert prepared() == ["stat"]
    write_pictures(pictures, value=1)
    assert prepared() == ["content"]  # size and time are those of the file that was prepared
    kept.unlink()
    assert prepared() == ["content"]
    first.unlink()
    assert sorted(prepared()) == ["content", "stat"]
