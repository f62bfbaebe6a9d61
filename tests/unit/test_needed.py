"""What a study needs besides what it shows is found, and refused where it leads back to itself."""

import re

import pytest
from clxai.errors import ClxaiError
from clxai.planning.config import check_values
from clxai.planning.needed import models_needed


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
        ({"a.epochs": 0}, "models.a.epochs must be at least 1, or 0 for a model with a start. Got 0"),
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
