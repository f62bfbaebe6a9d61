"""Whose maps a method borrows is settled, or refused, while planning."""

import re
from types import SimpleNamespace

import pytest
import yaml
from clxai.errors import ClxaiError
from clxai.planning import params, usage
from clxai.planning.borrowing import Maps, borrowed_maps
from clxai.planning.config import check_values
from clxai.planning.needed import (
    absent_methods,
    maps_needed,
    methods_needed,
    methods_of,
    methods_run,
    models_explained,
    models_needed,
)
from project import ROOT, check, filled_config
from snakemake.utils import update_config

IG = "integrated_gradients"


@pytest.fixture
def study(config):
    """Make a study of `random` and of methods of one's own, each with its options; all models of the config by default."""

    def make(models=None, **methods):
        config["methods"] |= methods
        config["study"]["methods"] = ["random", *methods]
        config["study"]["models"] = models or config["study"]["models"]
        config["samples"]["training"] = {"images": 20, "split": "train"}
        return config

    return make


@pytest.mark.parametrize("base", ["config", "fashionmnist"])
def test_block_of_controls_can_be_added_to_a_study(base):
    """Each model is judged by maps of another seed and loss, means are over training images, and no model is added."""
    config = {}
    for file in (*dict.fromkeys(["config", base]), "controls"):
        update_config(config, yaml.safe_load((ROOT / "config" / f"{file}.yaml").read_text()))
    config = filled_config(**config)
    config["study"]["seeds"] = [0, 1]
    check(config)
    models = config["study"]["models"]
    assert models_needed(config) == models
    lenders = {name: borrowed_maps(config, job("ig_other_loss", name)).model for name in models}
    assert lenders == {name: "ce" if name == "supcon" else "supcon" for name in models}
    assert {maps.method for maps in maps_needed(config) if maps.sample == "training"} == {IG}
    shares = [config["methods"][name]["share"] for name in config["study"]["methods"] if "degraded" in name]
    assert shares == [0, 0.2, 0.4, 0.6, 0.8, 1]


def job(method, model="ce", seed=0, sample="evaluation"):
    return Maps(model, seed, sample, method)


def borrowed(**options):
    return {"method": "borrowed", **options}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, job(IG)),
        ({"of": "lrp"}, job("lrp")),
        ({"seed": "next"}, job(IG, seed=1)),
        ({"model": "supcon"}, job(IG, "supcon")),
        ({"model": "ce"}, job(IG)),
        ({"model": ["ce", "supcon", "ce_matched"]}, job(IG, "supcon")),
        ({"model": {"supcon": "ce", "ce": "ce_matched", "ce_matched": "start"}, "seed": "next"}, job(IG, "ce_matched", 1)),
    ],
    ids=str,
)
def test_borrowed_maps_are_those_of_the_options(study, options, expected):
    config = study(mine=borrowed(**options))
    check_values(config)
    assert borrowed_maps(config, job("mine")) == expected


def test_last_seed_borrows_of_the_first(study):
    config = study(mine=borrowed(seed="next"))
    wildcards = SimpleNamespace(dataset="digits", model="ce", seed="2", sample="evaluation", method="mine")
    assert borrowed_maps(config, wildcards) == job(IG, seed=0)


def test_fine_tuned_model_borrows_of_its_start(study):
    config = study(mine=borrowed(model="start"))
    config["models"]["tuned"] = {**config["models"]["ce"], "start": "supcon", "epochs": 1, "warmup_epochs": None}
    config["study"]["models"] = ["tuned"]
    config["study"]["heads"] = ["softmax", "linear"]
    check_values(config)
    assert borrowed_maps(config, job("mine", "tuned")).model == "supcon"
    assert (models_explained(config), models_needed(config)) == (["tuned", "supcon"], ["tuned", "supcon"])


@pytest.fixture
def tuned(study):
    """A study in which `tuned` starts from `ce`: maps of the start, and maps made of these, beside ordinary ones."""
    config = study(
        past=borrowed(model="start"),
        worse={"method": "degraded", "of": "past", "share": 0.5},
        theirs=borrowed(of="past", model={"ce": "tuned", "tuned": "ce"}),
    )
    config["models"]["tuned"] = {**config["models"]["ce"], "start": "ce", "epochs": 1, "warmup_epochs": None}
    config["study"]["models"] = ["ce", "tuned"]
    config["flipping"]["units"] = ["grid"]
    return config


def test_maps_of_a_start_are_no_method_of_models_that_start_from_none(tuned):
    check_values(tuned)
    assert methods_of(tuned, "ce") == ["random", "theirs"]
    assert methods_of(tuned, "tuned") == ["random", "past", "worse"]
    assert absent_methods(tuned) == {"ce": ["past", "worse"], "tuned": ["theirs"]}
    assert {maps.method for maps in maps_needed(tuned) if maps.model == "ce"} == {"random", "theirs", IG}
    with pytest.raises(ClxaiError, match=re.escape("methods.past.model: start is for models that have one, and models.ce.start")):
        borrowed_maps(tuned, job("past", "ce"))


def test_jobs_are_told_which_models_lack_which_methods(tuned):
    absent = {"ce": ["past", "worse"], "tuned": ["theirs"]}
    figure = SimpleNamespace(figure="srg")
    assert params.summarise(tuned, None)["absent"] == params.check_study(tuned, None)["absent"] == absent
    assert params.plot_figure(tuned, figure)["study"]["absent"] == absent
    told = {method["name"]: method["absent"] for method in params.assess_trust(tuned, None)["methods"]}
    assert told == {"random": [], "past": ["ce"], "worse": ["ce"], "theirs": ["tuned"]}


@pytest.mark.parametrize("member", ["mean_map", "class_mean"])
def test_mean_is_over_another_sample(study, member):
    config = study(mine={"method": member, "of": "lrp"})
    check_values(config)
    assert borrowed_maps(config, job("mine")) == job("lrp", sample="training")


@pytest.mark.parametrize("member", ["wrong_image", "degraded"])
def test_own_maps_are_borrowed(study, member):
    config = study(mine={"method": member, "of": "lrp"})
    assert borrowed_maps(config, job("mine", seed=1)) == job("lrp", seed=1)


def test_maps_are_needed_transitively_and_of_models_and_samples_that_are_not_shown(study):
    config = study(
        models=["ce"],
        outer={"method": "degraded", "of": "inner", "share": 0.5},
        inner=borrowed(of="mean", model="supcon"),
        mean={"method": "mean_map", "of": "cam"},
        cam={"method": "grad_cam", "layer": "layer2"},
    )
    config["study"]["methods"] = ["random", "outer"]
    check_values(config)
    assert set(maps_needed(config)) == {
        job("random"),
        job("outer"),
        job("inner"),
        job("mean", "supcon"),
        job("cam", "supcon", sample="training"),
    }
    assert methods_needed(config) == ["random", "outer", "cam", "mean", "inner"]
    assert (models_explained(config), models_needed(config)) == (["ce", "supcon"], ["ce", "supcon"])


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"mine": borrowed(of="saliancy")}, "methods.mine.of: unknown attribution method 'saliancy'. Did you mean 'saliency'?"),
        ({"mine": borrowed(of="mine")}, "attribution method 'mine', by its needs, leads back to 'mine': mine <- mine"),
        (
            {"mine": borrowed(of="other"), "other": borrowed(of="mine", seed="next")},
            "leads back to 'mine': mine <- other <- mine",
        ),
        ({"mine": borrowed(model="supcom")}, "methods.mine.model: unknown model 'supcom'. Did you mean 'supcon'?"),
        ({"mine": borrowed(model=["ce"])}, "methods.mine.model must name a model other than 'ce'. Got ['ce']"),
        ({"mine": borrowed(model={"supcon": "ce"})}, "methods.mine.model says nothing of model 'ce'. Known: supcon"),
        ({"mine": borrowed(seed="nxt")}, "methods.mine.seed: unknown value 'nxt'. Did you mean 'next'?"),
        ({"mine": borrowed(sample="training")}, "methods.mine: unknown option 'sample'"),
        (
            {"mine": {"method": "mean_map", "sample": "train"}},
            "methods.mine.sample: unknown sample 'train'. Did you mean 'training'?",
        ),
        ({"mine": {"method": "degraded", "share": 1.5}}, "methods.mine.share must be at most 1. Got 1.5"),
        ({"mine": {"method": "wrong_class", "of": "lrrp"}}, "methods.mine.of: unknown attribution method 'lrrp'"),
        (
            {"mine": {"method": "wrong_class", "of": "mean_map"}},
            "methods.mine.of must name a method that needs no other maps and runs no other method. Got 'mean_map'",
        ),
        (
            {"mine": borrowed(model="supcon", head_if_absent="softmax")},
            "methods.mine.head_if_absent: models.supcon has no head 'softmax' of models.ce, nor 'softmax' instead. Name one of",
        ),
    ],
    ids=str,
)
def test_maps_that_cannot_be_had_are_refused_while_planning(study, methods, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check_values(study(**methods))


def test_next_seed_needs_two(study):
    config = study(mine=borrowed(seed="next"))
    config["study"]["seeds"] = [4]
    with pytest.raises(ClxaiError, match=re.escape("methods.mine.seed: next needs a study of at least two seeds")):
        check_values(config)


def test_job_is_told_names_and_not_rules(study):
    config = study(mine=borrowed(model=["supcon", "ce"], seed="next"), mean={"method": "class_mean"})
    assert params.attribute(config, job("mine", seed=2)) == {
        "method_name": "borrowed",
        "options": {"head_if_absent": "linear", "model": "supcon", "of": IG, "seed": 0},
        "seed": 2,
    }
    assert params.attribute(config, job("mean"))["options"] == {"of": IG, "sample": "training"}


def test_job_of_a_method_that_runs_another_depends_on_its_code_and_options(study):
    config = study(
        mine={"method": "wrong_class", "of": "quick"},
        quick={"method": IG, "steps": 8, "baseline": "wide"},
    )
    config["fills"]["wide"] = {"fill": "blur", "sigma": 0.3}
    config["study"]["methods"] = ["random", "mine"]
    check_values(config)
    told = params.attribute(config, job("mine"))["options"]["of"]
    assert (told["name"], told["method"], told["options"]["steps"]) == ("quick", IG, 8)
    assert told["options"]["baseline"] == {"name": "wide", "fill": "blur", "options": {"sigma": 0.3}}
    members = usage.members(config, "attribute", job("mine"))
    assert {("methods", "wrong_class"), ("methods", IG), ("fills", "blur")} <= set(members)
    assert maps_needed(config) == [
        Maps(model, 0, "evaluation", name) for model in config["study"]["models"] for name in ("random", "mine")
    ]
    assert methods_run(config) == ["random", "mine", "quick"]


def test_layer_of_a_method_that_is_run_for_another_is_checked(study):
    config = study(mine={"method": "wrong_class", "of": "cam"}, cam={"method": "grad_cam", "layer": "layer9"})
    config["study"]["methods"] = ["random", "mine"]
    with pytest.raises(ClxaiError, match=r"methods\.cam\.layer.*layer9"):
        check_values(config)


def test_model_whose_maps_are_borrowed_needs_the_layers_of_the_method(study):
    config = study(models=["ce"], mine=borrowed(of="cam", model="small"), cam={"method": "grad_cam", "layer": "layer2"})
    config["study"]["methods"] = ["random", "mine"]
    config["models"]["small"] = {**config["models"]["ce"], "network": "cnn", "network_options": {}}
    with pytest.raises(ClxaiError, match=r"methods\.cam\.layer, network cnn of models\.small"):
        check_values(config)
