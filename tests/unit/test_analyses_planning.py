"""What a study analyses is checked before any job: samples, layers, heads, fills and concepts; jobs are told that and no more."""

import re
from types import SimpleNamespace

import pytest
from clxai.analyses.base import ANALYSES
from clxai.errors import ClxaiError
from clxai.planning import params
from clxai.planning.analyses import analysed
from clxai.planning.config import check_schema
from clxai.planning.filling import merged
from clxai.planning.usage import members
from clxai.registry import declared
from project import ROOT, SCHEMA, changed, check

JOB = SimpleNamespace(dataset="digits", model="ce", seed="2", sample="evaluation")


@pytest.fixture
def study(config):
    """The default study with analyses and their options."""

    def make(*names, sections=None, **options):
        config["study"]["analyses"], config["analyses"] = list(names), options
        return changed(config, sections or {})

    return make


def job(analysis):
    return SimpleNamespace(**vars(JOB), analysis=analysis)


def test_no_analysis_is_run_by_default(config):
    assert analysed(config) == {}


def test_every_analysis_may_be_named(study):
    check(study(*declared("analyses")))


def test_name_of_ones_own_stands_for_an_analysis_with_its_options_and_sample(study):
    config = study(
        "margin",
        "deep",
        deep={"analysis": "tcav", "layers": ["layer4"], "sample": "second"},
        sections={"samples.second": {"images": 40, "split": "test"}},
    )
    check(config)
    assert analysed(config) == {"margin": "evaluation", "deep": "second"}
    told = params.analyse(config, job("deep"))
    assert (told["analysis"], told["seed"]) == ("tcav", 2)
    assert told["options"]["layers"] == ["layer4"] and "sample" not in told["options"]
    assert ("analyses", "tcav") in members(config, "analyse", job("deep"))
    assert params.summarise_analyses(config, None)["analyses"] == ["margin", "deep"]


def test_fill_is_the_first_of_the_study_with_its_seed_and_is_code_of_the_job(study):
    config = study("spatial_patching", "wide", wide={"analysis": "spatial_patching", "fill": "soft"})
    config["fills"] = {"soft": {"fill": "blur", "sigma": 0.3}}
    check(config)
    given = {name: params.analyse(config, job(name))["options"]["fill"] for name in config["study"]["analyses"]}
    assert given["spatial_patching"] == {"name": "mean", "fill": "mean", "options": {}, "seed": 0}
    assert given["wide"] == {"name": "soft", "fill": "blur", "options": {"sigma": 0.3}, "seed": 0}
    assert ("fills", "blur") in members(config, "analyse", job("wide"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tcavv", {}, "study.analyses: unknown analysis 'tcavv'. Did you mean 'tcav'?"),
        ("margin", {"layer": "last"}, "analyses.margin: unknown option 'layer'. Known: sample"),
        ("margin", {"sample": "evalution"}, "analyses.margin.sample: unknown sample 'evalution'. Did you mean 'evaluation'?"),
        ("probes", {"sample": "training"}, "analyses.probes.sample: probes is fitted on training images and judged by others"),
        ("probes", {"layers": ["layer5"]}, "analyses.probes, network resnet18 of models.ce: unknown layer 'layer5'"),
        ("probes", {"pool": 10}, "analyses.probes.pool must be >= 20. Got 10"),
        ("probes", {"pool": 100000}, "analyses.probes.pool must be at most the"),
        (
            "channel_patching",
            {"layer": "conv1"},
            "analyses.channel_patching, network resnet18 of models.ce: unknown layer",
        ),
        ("spatial_patching", {"fill": "maen"}, "analyses.spatial_patching.fill: unknown fill 'maen'. Did you mean 'mean'?"),
        ("tcav", {"random": 100}, "analyses.tcav.random must be >= 200. Got 100"),
        ("tcav", {"least_accuracy": 1.5}, "analyses.tcav.least_accuracy must be at most 1.0. Got 1.5"),
        ("tcav", {"concepts": {}}, "analyses.tcav.concepts must name at least one concept. Got none"),
        (
            "tcav",
            {"concepts": {"a": "brigthness"}},
            "concepts.a: unknown rule 'brigthness'. Did you mean 'brightness'?",
        ),
        ("tcav", {"concepts": {"a": "left"}}, "analyses.tcav.concepts.a: 'left' asks where the evidence is"),
        ("tcav", {"concepts": {"a": {"class": [1]}}}, "analyses.tcav.concepts.a: a mapping has the key 'classes' and no other"),
        ("tcav", {"concepts": {"a": {"classes": 3}}}, "analyses.tcav.concepts.a.classes must be a list of classes"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_while_planning(study, name, options, message):
    config = study(name, sections={"samples.training": {"images": 40, "split": "train"}}, **({name: options} if options else {}))
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check(config)


@pytest.mark.parametrize("name", ["margin", "counterfactual"])
def test_closed_form_without_a_head_that_has_one_is_refused(study, name):
    config = study(name, sections={"study.heads": ["knn"]})
    message = (
        f"analyses.{name}: {name} has a closed form for heads whose classes meet in planes alone: softmax, linear, mahalanobis"
    )
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check(config)


def test_concept_may_ask_where_the_evidence_is_where_the_data_know(study):
    changes = {"datasets.digits": {**study()["datasets"]["digits"], "source": "planted", "size": 32}}
    check(study("tcav", tcav={"concepts": {"left": "left"}}, sections=changes))


def test_analyses_are_a_list_of_names(study):
    with pytest.raises(ClxaiError, match=r"study\.analyses"):
        check_schema(study("margin", "margin"), SCHEMA)


def test_members_are_those_of_the_family():
    assert set(declared("analyses")) == set(ANALYSES)


def test_config_with_all_analyses_is_accepted_and_names_them_all():
    config = merged(
        [ROOT / "config" / name for name in ("config.yaml", "analyses.yaml")], ROOT / "workflow/schemas/config.schema.yaml"
    )
    assert set(config["study"]["analyses"]) == set(declared("analyses"))
    assert analysed(config)["tcav"] == "further" and analysed(config)["spatial_patching"] == "evaluation"
