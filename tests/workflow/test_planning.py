"""Planning: targets, the catalog's entry, and wrong configs that are refused before anything is written."""

import pytest

DEFAULT = None


def test_default_study_plans_every_model_seed_and_method(fresh):
    planned = fresh.planned(config=DEFAULT)
    assert planned["train_model"] == 9
    assert planned["attribute"] == planned["flip"] == 54
    assert planned["fit_heads"] + planned["fit_heads_without_classifier"] == 9


def test_catalog_entry_plans_the_same_jobs(fresh):
    assert fresh.planned("-s", "workflow/Snakefile", config=DEFAULT) == fresh.planned(config=DEFAULT)


@pytest.mark.parametrize("target", ["models_all", "heads_all", "attributions_all", "curves_all", "tables_all", "figures_all"])
def test_every_stage_is_a_target(fresh, target):
    assert fresh.planned(target)


def test_fashionmnist_study_is_config_alone(fresh):
    planned = fresh.planned(config="config/fashionmnist.yaml")
    assert planned["prepare_data"] == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("studdy: {}", "unknown key 'studdy'. Did you mean 'study'?"),
        ("study: {models: [supconn]}", "unknown model 'supconn'. Did you mean 'supcon'?"),
        ("study: {methods: [random, grad_camm]}", "unknown attribution method 'grad_camm'. Did you mean 'grad_cam'?"),
        ("study: {heads: [kn]}", "unknown head 'kn'. Did you mean 'knn'?"),
        ("study: {methods: [saliency]}", "must include 'random'"),
        ("models: {ce: {loss: cross_entrop}}", "unknown loss 'cross_entrop'. Did you mean 'cross_entropy'?"),
        ("models: {supcon: {loss_options: {temperature: 0}}}", "models.supcon.loss_options.temperature must be > 0. Got 0"),
        ("heads: {knn: {k: 5000}}", "heads.knn.k must be at most the"),
        ("datasets: {digits: {size: 8, unit_px: 2}}", "datasets.digits.size must be at least 16"),
        ("datasets: {digits: {unit_px: 5}}", "datasets.digits.unit_px must tile 24 px: one of"),
        ("datasets: {digits: {source: digit}}", "unknown data source 'digit'. Did you mean 'digits'?"),
        ("study: {methods: [random, occlusion]}\nmethods: {occlusion: {window: 25}}", "methods.occlusion.window must be at most"),
        ("datasets: {digits: {source: npz, path: Snakefile}}", "Snakefile: not a readable npz file"),
        ("datasets: {digits: {source: torchvision, name: EMNIST}}", "torchvision's EMNIST needs split"),
        ("flipping: {steps: 4}\nflipping: {steps: 8}", "line 2: 'flipping' is given twice"),
        ("study: !!python/object/apply:os.mkdir [results/harm]", "Config file is not valid JSON or YAML"),
        ("models: {ce: {learning_rate: 1e-3}}", "models.ce.learning_rate: expected number, got the string '1e-3'"),
    ],
)
def test_wrong_config_is_one_clear_line_and_writes_nothing(fresh, wrong, message):
    (fresh.folder / "wrong.yaml").write_text(wrong)
    process = fresh.snakemake("--cores", "1", config="wrong.yaml")
    output = process.stdout + process.stderr
    assert process.returncode != 0
    assert message in output
    assert "Traceback" not in output
    assert sorted(path.name for path in (fresh.folder / "results").iterdir()) == ["README.md"]
