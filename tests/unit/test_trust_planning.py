"""Which trust measures a study has: by its needs, with reasons."""

import pytest
from clxai.errors import ClxaiError
from clxai.planning import params
from clxai.planning.outputs import metrics_of
from clxai.planning.trust import WORDS, left_out, references_of, trust_of
from clxai.planning.usage import members
from clxai.registry import declared
from project import changed, check, filled_config


@pytest.fixture
def plain():
    """The default study with one set-up and no references."""
    return changed(filled_config(), {"flipping.fills": ["mean"], "flipping.units": ["grid"], "statistics.references": {}})


def test_measures_are_those_whose_needs_the_study_meets(plain):
    assert "agreement" not in trust_of(plain)
    (lack,) = [one for one in left_out(plain) if one["measure"] == "agreement"]
    assert lack["needs"] == "setups" and "flipping.fills" in lack["reason"]
    assert "agreement" in trust_of(changed(plain, {"flipping.fills": ["mean", "noise"]}))


def test_every_measure_is_either_run_or_left_out(plain):
    assert {*trust_of(plain), *(one["measure"] for one in left_out(plain))} == set(declared("trust"))


def test_measure_that_is_named_without_what_it_needs_is_refused(plain):
    with pytest.raises(ClxaiError, match=r"study\.trust: 'agreement' needs 'setups': the study has one fill"):
        check(changed(plain, {"study.trust": ["agreement"]}))


def test_measures_that_are_named_leave_nothing_out(plain):
    config = changed(plain, {"study.trust": ["agreement"], "flipping.fills": ["mean", "noise"]})
    check(config)
    assert trust_of(config) == ["agreement"] and left_out(config) == []
    assert trust_of(changed(config, {"study.trust": []})) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study.trust": ["agreemnt"]}, r"study\.trust: unknown trust measure 'agreemnt'"),
        ({"trust.agreement": {"pairs": 3}}, r"trust\.agreement: unknown option 'pairs'"),
        ({"statistics.references": {"ce": "ce"}}, r"statistics\.references\.ce: a model cannot be its own reference"),
        ({"statistics.references": {"ce": "best"}}, r"statistics\.references: unknown model 'best'"),
    ],
)
def test_wrong_names_are_refused(plain, changes, message):
    with pytest.raises(ClxaiError, match=message):
        check(changed(plain, changes))


def test_too_few_methods_rank_nothing(plain):
    """Two controls and one method."""
    config = changed(plain, {"study.methods": ["random", "sobel", "lrp"], "flipping.fills": ["mean", "noise"]})
    (lack,) = [one for one in left_out(config) if one["measure"] == "agreement"]
    assert lack["needs"] == "ranking"


def test_references_of_models_that_the_study_has(plain):
    config = changed(
        plain, {"statistics.references": {"ce": "ce_matched", "ce_matched": "supcon"}, "study.models": ["ce", "ce_matched"]}
    )
    assert references_of(config) == {"ce": "ce_matched"}


def test_measure_may_have_a_name_of_ones_own(plain):
    config = changed(plain, {"trust.often": {"trust": "replication", "splits": 128}, "study.trust": ["often", "replication"]})
    check(config)
    measures = params.assess_trust(config, None)["measures"]
    assert measures == {"often": ["replication", {"splits": 128}], "replication": ["replication", {"splits": 32}]}
    assert members(config, "assess_trust", None) == [("trust", "replication")] * 2


def test_metrics_that_a_measure_reads_must_be_measured(plain):
    identities = [f"{kind}{end}" for kind in ("auc_deletion", "auc_insertion", "srg") for end in ("", "_matched", "_kept")]
    config = changed(plain, {"study.metrics": identities, "study.figures": [], "study.trust": []})
    assert metrics_of(config) == identities


def test_measure_whose_metrics_the_study_leaves_out_is_left_out(plain):
    identities = [f"{kind}{end}" for kind in ("auc_deletion", "auc_insertion", "srg") for end in ("", "_matched", "_kept")]
    config = changed(plain, {"study.metrics": identities, "study.figures": []})
    check(config)
    (lack,) = [one for one in left_out(config) if one["measure"] == "movement"]
    assert lack["needs"] == "drift_monotonicity" and "study.metrics" in lack["reason"]
    with pytest.raises(ClxaiError, match=r"study\.trust: 'movement' needs 'drift_monotonicity': study\.metrics leaves it out"):
        check(changed(config, {"study.trust": ["movement"]}))


def test_study_of_controls_alone_explains_nothing(plain):
    config = changed(plain, {"study.methods": ["random", "sobel"]})
    (lack,) = [one for one in left_out(config) if one["measure"] == "towards"]
    assert lack["needs"] == "methods"


def test_job_uses_its_measures_and_is_told_of_methods_and_setups(plain):
    config = changed(plain, {"flipping.fills": ["mean", "noise"], "study.trust": ["agreement"]})
    assert members(config, "assess_trust", None) == [("trust", "agreement")]
    told = params.assess_trust(config, None)
    assert told["setups"] == [["grid", "mean"], ["grid", "noise"]]
    assert told["measures"] == {"agreement": ["agreement", {}]}
    random = {
        "name": "random",
        "member": "random",
        "families": ["control"],
        "options": {},
        "lender": {},
        "randomised": {},
        "absent": [],
    }
    assert random in told["methods"]


def test_job_is_told_whose_maps_are_borrowed(plain):
    other = {"method": "borrowed", "of": "saliency", "model": ["supcon", "ce"]}
    changes = {"methods.loss": other, "methods.next": {"method": "borrowed", "of": "saliency", "seed": "next"}}
    study = {"study.methods": ["random", "saliency", "loss", "next"], "study.models": ["ce", "supcon"]}
    config = changed(plain, {**changes, **study})
    check(config)
    told = {method["name"]: method["lender"] for method in params.assess_trust(config, None)["methods"]}
    assert told["loss"] == {"ce": ["supcon", False], "supcon": ["ce", False]}
    assert told["next"] == {"ce": ["ce", True], "supcon": ["supcon", True]}
    assert told["saliency"] == {}
    assert "specificity" in trust_of(config)


@pytest.mark.parametrize("name", declared("trust"))
def test_needs_are_words_or_registered_methods(name):
    assert set(declared("trust")[name].semantics["needs"]) <= {*WORDS, *declared("methods")}


@pytest.mark.parametrize("name", declared("trust"))
def test_metrics_are_declared(name):
    assert set(declared("trust")[name].semantics["metrics"]) <= set(declared("metrics"))
