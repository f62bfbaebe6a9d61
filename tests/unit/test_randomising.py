"""The randomisation test is asked for in one section of the config, which stands for models and lent maps written out."""

import copy
import re

import pytest
import yaml
from clxai.errors import ClxaiError
from clxai.planning import params
from clxai.planning.choices import recipe_of
from clxai.planning.needed import models_explained, models_needed
from clxai.planning.randomising import expand, random_part
from clxai.planning.trust import left_out, lent_of, randomised_of, trust_of
from project import ROOT, changed, check, filled_config
from snakemake.utils import update_config, validate

SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.yaml"
SECTION = {"methods": ["lrp"], "kinds": ["cascading", "independent"], "parts": ["layer4", "stem"]}


def asked(section=SECTION, **changes):
    """The plain study with this section, its models and methods added, defaults filled in as the workflow does."""
    config = filled_config(randomisation=section)
    config = changed(config, changes)
    expand(config)
    return filled_config(**config)


def test_nothing_is_asked_for_by_default(config):
    before = copy.deepcopy(config)
    expand(config)
    assert config == before
    assert "randomisation" in [one["measure"] for one in left_out(config)]


def test_every_step_has_an_untrained_copy_of_each_model_and_its_maps(config):
    models = ["ce", "supcon"]
    found = asked(**{"study.models": models})
    steps = {"down_to_layer4": ["layer4"], "down_to_stem": ["layer4", "stem"], "only_layer4": ["layer4"], "only_stem": ["stem"]}
    assert found["study"]["methods"] == [*config["study"]["methods"], *(f"lrp_{step}" for step in steps)]
    for step, parts in steps.items():
        copies = {model: f"{model}_{step}" for model in models}
        assert found["methods"][f"lrp_{step}"] == {"method": "borrowed", "of": "lrp", "model": copies}
        for model, name in copies.items():
            own, recipe = recipe_of(found, model), recipe_of(found, name)
            assert (recipe["start"], recipe["randomise"], recipe["epochs"]) == (model, parts, 0)
            assert [recipe[key] for key in ("loss", "network_options")] == [own[key] for key in ("loss", "network_options")]
    check(found)
    assert len(models_explained(found)) == len(models_needed(found)) == 2 * 5


def test_cascade_is_over_all_layers_from_the_deepest_to_the_stem_by_default():
    found = asked({"methods": ["lrp"]})
    assert found["models"]["ce_down_to_layer2"]["randomise"] == ["layer4", "layer3", "layer2"]
    assert found["models"]["ce_down_to_stem"]["randomise"] == ["layer4", "layer3", "layer2", "layer1", "stem"]


def test_config_that_was_read_again_asks_for_the_same():
    once = asked()
    again = copy.deepcopy(once)
    expand(again)
    assert again == once


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"randomisation.methods": ["lpr"]}, "randomisation.methods: 'lpr' must be one of study.methods: random, saliency"),
        ({"methods.lrp_only_stem": {"method": "grad_cam"}}, "methods.lrp_only_stem: the section `randomisation` makes an entry"),
        ({"models.ce.network": "cnn", "randomisation.parts": None}, "'ce' and 'supcon' have different layers"),
        ({"study.models": ["cee"]}, "study.models: unknown model 'cee'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(changes, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        asked(**changes)


def test_unknown_part_is_refused_with_the_known_ones():
    with pytest.raises(ClxaiError, match=r"models.ce_down_to_layer5.randomise: unknown layer 'layer5'. Did you mean 'layer4'"):
        check(asked({**SECTION, "parts": ["layer5"]}))


def test_measure_is_told_what_is_random_of_each_lender():
    config = asked()
    told = {method["name"]: method["randomised"] for method in params.assess_trust(config, None)["methods"]}
    assert told["lrp_down_to_stem"] == dict.fromkeys(config["study"]["models"], "layer4+stem")
    assert told["lrp"] == {}
    assert "randomisation" in trust_of(config)


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_fewer_than_three_reinitialisations_say_nothing(seeds):
    config = asked(**{"study.seeds": seeds})
    (lack,) = [one for one in left_out(config) if one["measure"] == "randomisation"]
    assert lack["needs"] == "randomised" and "fewer than 3 re-initialisations" in lack["reason"]


def test_random_is_a_copy_that_is_not_trained_or_one_that_learnt_permuted_labels():
    config = asked(**{"models.heart": {"loss": "cross_entropy", "labels": "permuted"}})
    config["models"]["tuned"] = {**config["models"]["ce_only_stem"], "epochs": 2}
    config["models"]["child"] = {**config["models"]["ce_only_stem"], "randomise": []}
    found = {name: random_part(config, name, "ce") for name in ("ce_only_stem", "heart", "tuned", "child", "supcon")}
    assert found == {"ce_only_stem": "stem", "heart": "labels", "tuned": None, "child": None, "supcon": None}
    assert random_part(config, "ce_only_stem", "supcon") is None


def test_maps_of_another_seed_or_made_of_the_lent_ones_are_none_of_the_copy():
    other = {"method": "borrowed", "of": "lrp", "model": dict.fromkeys(("ce", "supcon", "ce_matched"), "ce_only_stem")}
    config = asked(**{"methods.next": {**other, "seed": "next"}, "methods.own": other})
    config["study"]["methods"] += ["next", "own"]
    assert randomised_of(config, "next") == {}
    assert randomised_of(config, "own") == {"ce": "stem"}


def test_permuted_labels_without_training_are_refused():
    config = changed(filled_config(), {"models.ce.labels": "permuted", "models.ce.epochs": 0})
    with pytest.raises(ClxaiError, match=r"models\.ce\.labels: permuted labels are for training, and models\.ce\.epochs is 0"):
        check(config)


def test_recipe_tells_of_labels_only_where_they_are_not_the_given_ones(config):
    assert "labels" not in recipe_of(config, "ce")
    assert recipe_of(changed(config, {"models.ce.labels": "permuted"}), "ce")["labels"] == "permuted"


def test_committed_study_asks_for_copies_of_both_models_and_for_networks_that_learnt_permuted_labels():
    config = {}
    for name in ("config.yaml", "randomisation.yaml"):
        update_config(config, yaml.safe_load((ROOT / "config" / name).read_text()))
    validate(config, str(SCHEMA_FILE))
    expand(config)
    validate(config, str(SCHEMA_FILE))
    lent = lent_of(config)
    assert {one["model"] for one in lent} == {"ce", "supcon"}
    assert {one["of"] for one in lent} == {"saliency", "integrated_gradients", "grad_cam", "lrp"}
    cascade = [one["random"] for one in lent if one["model"] == "ce" and one["of"] == "lrp"]
    parts = ["layer4", "layer3", "layer2", "layer1", "stem"]
    assert cascade == ["labels", *("+".join(parts[: place + 1]) for place in range(len(parts)))]
