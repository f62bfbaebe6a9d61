"""What reruns and what does not: the three contracts, planned on a finished study."""

import os

import pytest
from project import AFTER_CHECKS, AFTER_CURVES, AFTER_TRUST, TINY, replaced

pytestmark = pytest.mark.xdist_group("finished")  # one tiny study serves both files

# LRP, of which the figure `quality` has something to show.
ADDED_METHOD = {"attribute": 2, "flip": 2, **AFTER_CURVES, "plot_figure": 12}


KEYS, OTHERS = "{loss: supcon, epochs: 2, network_options: {width: 4}", "{network_options: {width: 4}, epochs: 2, loss: supcon"
REORDERED = replaced((KEYS, OTHERS))


def comment(text):
    return text + "\n# edited\n"


def test_finished_study_has_nothing_to_do(finished):
    assert finished.planned() == {}


def test_new_time_stamps_rerun_nothing(finished):
    """A git checkout, a copy or a touch changes time stamps, not content."""
    for part in ("workflow", "rules", "config"):
        for file in (finished.folder / part).rglob("*"):
            if file.is_file():
                os.utime(file)
    for file in (finished.folder / "results").rglob("*.safetensors"):
        os.utime(file)
    assert finished.planned() == {}


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("figures/srg.py", {"plot_figure": 1}),
        ("figures/gallery.py", {"plot_figure_of_model": 2}),
        ("figures/arrays.py", {"plot_figure": 1, "plot_figure_of_model": 4}),
        ("measures/checks.py", AFTER_CHECKS),
        ("verdict/wording.py", {"state_verdict": 1}),
        ("verdict/methods.py", {"describe_methods": 1}),
        ("measures/trust/replication.py", AFTER_TRUST),
        ("measures/trust/specificity.py", {}),  # which the study leaves out
        ("measures/metrics/base.py", AFTER_CURVES),
        ("flipping/curves.py", {"flip": 6, **AFTER_CURVES}),
        ("attribution/cams.py", {"attribute": 2, "flip": 2, **AFTER_CURVES}),
    ],
)
def test_edited_module_reruns_its_rules_and_what_depends_on_them(finished, module, expected):
    with finished.edited(f"workflow/scripts/clxai/{module}", comment):
        planned = finished.planned()
    assert planned == expected


@pytest.mark.parametrize(("module", "models"), [("training/training.py", 2), ("losses/base.py", 2), ("losses/supcon.py", 1)])
def test_edited_training_reruns_its_models_and_never_the_data(finished, module, models):
    """A loss retrains the models that use it, no others."""
    with finished.edited(f"workflow/scripts/clxai/{module}", comment):
        planned = finished.planned()
    assert planned["train_model"] == models
    assert not {"prepare_data", "sample_images"} & set(planned)


def test_edited_script_reruns_its_rule(finished):
    with finished.edited("workflow/scripts/check_study.py", comment):
        assert finished.planned() == AFTER_CHECKS


def test_added_method_runs_its_own_jobs_and_the_summaries(finished):
    with finished.edited("tests/workflow/tiny.yaml", lambda text: text.replace("saliency, grad_cam", "saliency, grad_cam, lrp")):
        planned = finished.planned()
    assert planned == ADDED_METHOD


def test_added_seed_reuses_the_trained_models(finished):
    with finished.edited("tests/workflow/tiny.yaml", lambda text: text.replace("seeds: [0]", "seeds: [0, 1]")):
        planned = finished.planned()
    assert planned["train_model"] == 2
    assert planned["attribute"] == 6


def test_changed_recipe_retrains_that_model_only(finished):
    with finished.edited("tests/workflow/tiny.yaml", lambda text: text.replace("supcon, epochs: 2", "supcon, epochs: 3")):
        assert finished.planned()["train_model"] == 1


def test_swapped_values_are_noticed(finished):
    """Snakemake compares the values of params without their names; one dict per rule keeps the names."""
    swap = "limit: {train: 120, val: 40, test: 40}"
    with finished.edited("tests/workflow/tiny.yaml", lambda text: text.replace(swap, "limit: {train: 40, val: 120, test: 40}")):
        assert finished.planned()["prepare_data"] == 1


def test_order_of_keys_is_not_noticed(finished):
    with finished.edited(TINY, REORDERED):
        assert finished.planned() == {}


def test_other_unit_size_flips_again_without_training(finished):
    with finished.edited("tests/workflow/tiny.yaml", lambda text: text.replace("height: 4", "height: 2")):
        planned = finished.planned()
    assert planned == {"flip": 6, **AFTER_CURVES}


def test_harmless_edit_can_be_declared_harmless(finished):
    """docs/running.md: `--consider-ancient RULE=code` plans as if the code of a rule had not changed."""
    with finished.edited("workflow/scripts/clxai/losses/base.py", comment):
        assert finished.planned("--consider-ancient", "train_model=code") == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-f", "results/studies/tiny/digits/figures/srg.svg"), {"plot_figure": 1}),
        (("-R", "summarise"), AFTER_CURVES),
        (("-R", "flip", "--until", "summarise"), {"flip": 6, "summarise": 1}),
    ],
    ids=["-f", "-R", "-R --until"],
)
def test_single_rules_run_again(finished, arguments, expected):
    """docs/running.md: what each option runs on a finished study."""
    assert finished.planned(*arguments) == expected


@pytest.fixture(params=["workstation", "slurm"])
def planned_with_profile(request, finished):
    """Plan on the finished study with a profile; returns the jobs that would run, by rule."""
    if request.param == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm", reason="the SLURM executor plugin is not installed")
    return lambda: finished.planned("--workflow-profile", f"profiles/{request.param}")


def test_other_profiles_agree_that_nothing_is_to_do(finished, planned_with_profile):
    """Whichever profile ran the study, after new time stamps, in another order of keys and with another time limit.

    Code, artefacts and config are compared by content, and limits are no part of it.
    """
    for part in ("workflow", "rules", "config", "results"):
        for file in (finished.folder / part).rglob("*.*"):
            os.utime(file)
    limit = replaced(('runtime="4h"', 'runtime="5h"'))
    with finished.edited(TINY, REORDERED), finished.edited("rules/flip.smk", limit):
        assert planned_with_profile() == {}


RETRAINED = {
    **{"train_model": 1, "embed_images": 1, "fit_heads_without_classifier": 1, "attribute": 3, "flip": 3},
    **AFTER_CURVES,
}


@pytest.mark.parametrize(
    ("path", "change", "expected"),
    [
        ("workflow/scripts/clxai/figures/srg.py", comment, {"plot_figure": 1}),
        ("workflow/scripts/clxai/measures/metrics/base.py", comment, AFTER_CURVES),
        ("workflow/scripts/plot_figure.py", comment, {"plot_figure": 11, "plot_figure_of_model": 6}),
        (TINY, replaced(("saliency, grad_cam", "saliency, grad_cam, lrp")), ADDED_METHOD),
        (TINY, replaced(("supcon, epochs: 2", "supcon, epochs: 3")), RETRAINED),
    ],
    ids=["figure", "metric", "script", "method", "recipe"],
)
def test_contracts_hold_with_other_profiles(finished, planned_with_profile, path, change, expected):
    with finished.edited(path, change):
        assert planned_with_profile() == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ce/seed0", {"train_model": 1, "embed_images": 1, "fit_heads": 1, "attribute": 3, "flip": 3}),
        ("ce/seed0/model.safetensors", {"train_model": 1}),
        ("ce/seed0/embeddings.nc", {"embed_images": 1}),
        ("ce/seed0/heads", {"fit_heads": 1}),
        ("ce/seed0/attributions/evaluation/random.nc", {"attribute": 1}),
        ("ce/seed0/curves", {"flip": 3}),
    ],
)
def test_deleted_results_are_made_again(finished, path, expected, tmp_path):
    place = finished.folder / "results/digits" / path
    place.rename(tmp_path / "deleted")
    try:
        planned = finished.planned()
    finally:
        (tmp_path / "deleted").rename(place)
    assert planned.items() >= expected.items()


def test_another_study_shares_the_curves_and_has_its_own_tables(finished):
    """The same science under another file name: nothing is trained, explained or flipped."""
    other = finished.folder / "other.yaml"
    other.write_text((finished.folder / TINY).read_text())
    try:
        assert finished.planned(config="other.yaml") == AFTER_CURVES
    finally:
        other.unlink()
