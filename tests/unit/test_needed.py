"""What a study needs besides what it shows is found, and refused where it leads back to itself."""

import re
from pathlib import Path

import pytest
from clxai.errors import ClxaiError
from clxai.planning import choices
from clxai.planning import needed as needed_module
from clxai.planning.config import check_values
from clxai.planning.needed import methods_needed, models_needed, needs_of
from clxai.registry import Declaration, declared


@pytest.fixture
def family(config):
    """Make a study of one model among models that start from each other: `start` by name, all with the recipe of ce."""

    def make(shown, **starts):
        config["models"] = {name: {**config["models"]["ce"], "start": start} for name, start in starts.items()}
        config["study"]["models"] = shown
        return config

    return make


@pytest.mark.parametrize(
    ("shown", "starts", "expected"),
    [
        (["a"], {"a": None}, ["a"]),
        (["b"], {"a": None, "b": "a"}, ["b", "a"]),
        (["c"], {"a": None, "b": "a", "c": "b", "d": "a"}, ["c", "a", "b"]),
        (["c", "a"], {"a": None, "b": "a", "c": "b"}, ["c", "a", "b"]),
        (["b", "c"], {"a": None, "b": "a", "c": "a"}, ["b", "c", "a"]),
    ],
)
def test_models_needed_are_those_of_the_study_and_what_they_start_from(family, shown, starts, expected):
    config = family(shown, **starts)
    check_values(config)
    assert models_needed(config) == expected


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ({"a": "a"}, "models.a.start leads back to 'a': a <- a"),
        ({"a": "b", "b": "a"}, "models.b.start leads back to 'a': a <- b <- a"),
        ({"a": "b", "b": "c", "c": "b"}, "models.c.start leads back to 'b': b <- c <- b"),
        ({"a": "b", "b": "c", "c": "a"}, "models.c.start leads back to 'a': a <- b <- c <- a"),
        ({"a": "bb", "b": None}, "models.a.start: unknown model 'bb'. Did you mean 'b'? Known: a, b"),
    ],
)
def test_start_that_cannot_be_found_is_refused(family, starts, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check_values(family(["a"], **starts))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b.network_options": {"width": 8}}, "models.b.start: 'b' and 'a' must have the same network. Got resnet18 {'width': 8"),
        ({"b.network": "cnn"}, "models.b.start: 'b' and 'a' must have the same network. Got cnn {'width': 16} and resnet18"),
        ({"b.randomise": ["layer5"]}, "models.b.randomise: unknown layer 'layer5'. Did you mean 'layer4'? Known: layer1, layer2"),
        ({"a.randomise": ["layer4"]}, "models.a.randomise needs a model to start from: set models.a.start. Got ['layer4']"),
        ({"a.epochs": 0}, "models.a.epochs must be at least 1, or 0 for a model with a start or weights. Got 0"),
        ({"b.epochs": 0, "b.warmup_epochs": 1}, "models.b.warmup_epochs must be below epochs 0. Got 1"),
        ({"a.loss": "suppcon"}, "models.a.loss: unknown loss 'suppcon'. Did you mean 'supcon'?"),
    ],
)
def test_start_that_cannot_work_is_refused(family, changes, message):
    config = family(["b"], a=None, b="a")
    for key, value in changes.items():
        name, _, own = key.partition(".")
        config["models"][name][own] = value
    with pytest.raises(ClxaiError, match=re.escape(message)):
        check_values(config)


def test_parent_may_be_too_small_for_its_images_no_more_than_a_model_of_the_study(family):
    config = family(["b"], a=None, b="a")
    for name in "ab":
        config["models"][name]["network_options"] = {"stem": "large"}
    with pytest.raises(ClxaiError, match=r"datasets\.digits\.size must be at least 64 px for models\.b"):
        check_values(config)


def test_parent_needs_none_of_the_heads_of_the_study(family):
    config = family(["b"], a=None, b="a")
    config["models"]["a"]["loss"] = "supcon"
    config["study"]["heads"] = ["softmax"]
    check_values(config)


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"epochs": 0, "randomise": ["layer4", "layer3"]}, {"randomise": ["top", "stem"]}]
)
def test_start_may_be_used_as_it_is_or_with_parts_drawn_anew(family, changes):
    config = family(["b"], a=None, b="a")
    config["models"]["b"] |= changes
    check_values(config)


@pytest.fixture
def needing(config, monkeypatch):
    """Declare methods that need others: names by method; returns the config with all of them in the study."""
    known = declared("methods")

    def declare(**needs):
        semantics = known["sobel"].semantics
        own = {name: Declaration(name, {**semantics, "needs": needed}, "", Path()) for name, needed in needs.items()}
        for module in (needed_module, choices):
            monkeypatch.setattr(module, "declared", lambda family: {**known, **own} if family == "methods" else declared(family))
        config["study"]["methods"] = ["random", *needs]
        return config

    return declare


def test_method_without_needs_needs_nothing(config):
    assert methods_needed(config) == config["study"]["methods"]
    assert all(needs_of(config, name) == [] for name in config["study"]["methods"])


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ({"mine": ("lrp", "saliency")}, ["random", "mine", "lrp", "saliency"]),
        ({"mine": ("other",), "other": ("lrp", "random")}, ["random", "mine", "other", "lrp"]),
    ],
)
def test_methods_needed_are_those_of_the_study_and_those_whose_maps_they_need(needing, needs, expected):
    assert methods_needed(needing(**needs)) == expected


def test_name_of_ones_own_needs_what_its_method_needs(needing):
    config = needing(mine=("saliency",))
    config["methods"]["again"] = {"method": "mine"}
    config["study"]["methods"] = ["random", "again"]
    assert methods_needed(config) == ["random", "again", "saliency"]


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"mine": ("mine",)}, "attribution method 'mine', by its needs, leads back to 'mine': mine <- mine"),
        ({"mine": ("other",), "other": ("mine",)}, "attribution method 'other', by its needs, leads back to 'mine'"),
        (
            {"mine": ("saliancy",)},
            "needs of attribution method 'mine': unknown attribution method 'saliancy'. Did you mean 'saliency'?",
        ),
    ],
)
def test_needs_that_cannot_be_met_are_refused(needing, needs, message):
    with pytest.raises(ClxaiError, match=re.escape(message)):
        methods_needed(needing(**needs))


def test_options_of_a_needed_method_are_checked(needing):
    config = needing(mine=("smoothgrad",))
    config["methods"]["smoothgrad"] = {"sample": 3}
    with pytest.raises(ClxaiError, match=r"methods\.smoothgrad: unknown option 'sample'"):
        check_values(config)
