"""The schema of the config: described, typed, with defaults, and in the words of the code."""

import re

import pytest
import yaml
from clxai.names import SPLITS
from clxai.planning.config import check_schema
from clxai.registry import declared
from clxai.runtime.devices import PRECISIONS
from project import ROOT, SCHEMA, leaves


def test_default_config_needs_nothing_filled_in():
    check_schema(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()), SCHEMA)


LEAVES = {".".join(("config", *path)): (entry, required) for path, entry, required in leaves(SCHEMA)}


@pytest.mark.parametrize("path", LEAVES)
def test_every_key_is_described_typed_and_has_a_default_or_is_required(path):
    entry, required = LEAVES[path]
    assert entry["description"].endswith(".") or entry["description"].endswith(")")
    assert "type" in entry
    assert required or "default" in entry


def test_every_object_refuses_unknown_keys_or_says_what_they_are():
    free = {"config.models.*.loss_options", "config.models.*.network_options"}  # checked against what members declare
    for path, (entry, _) in {"config": (SCHEMA, True), **LEAVES}.items():
        if entry["type"] == "object" and path not in free:
            assert "additionalProperties" in entry, path


@pytest.mark.parametrize(
    ("path", "names"),
    [("config.models.*.precision", set(PRECISIONS))],
)
def test_enums_of_the_schema_are_the_names_of_the_code(path, names):
    assert set(LEAVES[path][0]["enum"]) == names


def test_splits_of_the_schema_are_those_of_the_code():
    assert list(LEAVES["config.datasets.*.limit"][0]["properties"]) == list(SPLITS)


def in_brackets(path):
    """The names that a description lists in round brackets."""
    return re.search(r"\(([^()]*)\)", LEAVES[path][0]["description"]).group(1).split(", ")


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("config.study.heads", "heads"),
        ("config.datasets.*.source", "sources"),
        ("config.models.*.loss", "losses"),
        ("config.flipping.fills", "fills"),
        ("config.flipping.units", "units"),
    ],
)
def test_descriptions_list_exactly_what_is_declared(path, family):
    assert sorted(in_brackets(path)) == sorted(declared(family))


@pytest.mark.parametrize("family", ["heads", "fills", "units"])
def test_description_of_a_section_lists_the_options_of_its_family(family):
    found = re.findall(r"(\w+) \{([^{}:]*)\}", LEAVES[f"config.{family}"][0]["description"])
    known = {name: list(member.semantics["options"]) for name, member in declared(family).items() if member.semantics["options"]}
    assert {name: options.split(", ") for name, options in found} == known


def test_description_of_the_losses_lists_their_options():
    found = re.findall(r"(\w+) \((\w+)\)", LEAVES["config.models.*.loss_options"][0]["description"])
    known = [(option, name) for name, loss in declared("losses").items() for option in loss.semantics["options"]]
    assert sorted(found) == sorted(known)


def test_default_study_of_the_schema_is_the_default_config_but_for_what_that_names_itself():
    written = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["study"]
    for key, value in written.items():
        if key in ("models", "methods"):  # with recipes and aliases that a config without these sections would lack
            assert set(LEAVES[f"config.study.{key}"][0]["default"]) - {"grad_cam_pp"} <= set(value)
            continue
        assert LEAVES[f"config.study.{key}"][0]["default"] == value
