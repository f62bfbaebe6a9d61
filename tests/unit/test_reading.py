"""How a config is read: its name, values given as texts, paths, plain params."""

import pytest
import yaml
from clxai.errors import ClxaiError
from clxai.planning.config import check_schema
from clxai.planning.reading import plain, read_texts, study_name
from hypothesis import given, settings
from hypothesis import strategies as st
from project import SCHEMA, check

keys = st.text("abc", min_size=1, max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


def sorted_deeply(value):
    if isinstance(value, dict):
        return list(value) == sorted(value) and all(map(sorted_deeply, value.values()))
    return all(map(sorted_deeply, value)) if isinstance(value, list) else True


@settings(max_examples=60, deadline=None)
@given(values)
def test_plain_keeps_the_values_and_sorts_the_keys_at_every_depth(value):
    assert plain(value) == value
    assert sorted_deeply(plain(value))


def test_plain_makes_equal_configs_print_equally():
    first = {"b": {"y": 1, "x": (1, 2)}, "a": [{"d": 0, "c": None}]}
    second = {"a": [{"c": None, "d": 0}], "b": {"x": [1, 2], "y": 1}}
    assert repr(plain(first)) == repr(plain(second)) == "{'a': [{'c': None, 'd': 0}], 'b': {'x': [1, 2], 'y': 1}}"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({}, "default"),
        ({"config/config.yaml": {}}, "default"),
        ({"config/config.yaml": {"study": None}, "config/fashionmnist.yaml": {}}, "fashionmnist"),
        ({"config/config.yaml": {}, "a.yaml": {}, "b.yaml": {"models": {}}}, "b"),
        ({"config/config.yaml": {}, "b.yaml": {"study": {"name": "mine"}}}, "mine"),
        ({"config/config.yaml": {}, "a.yaml": {"study": {"name": "mine"}}, "b.yaml": {"study": {"seed": 1}}}, "b"),
        ({"config/config.yaml": {}, "/x/My-Study.v2.yaml": {}}, "my_study_v2"),
    ],
)
def test_study_is_named_by_its_last_file_unless_that_names_it(config, files, name):
    for content in files.values():
        config["study"].update(content.get("study") or {})
    assert study_name(config, files) == name


def test_name_given_beside_the_files_counts(config):
    """As with --config and in a module."""
    config["study"]["name"] = "mine"
    assert study_name(config, {"a.yaml": {}}) == study_name(config, {}) == "mine"


def texts(value):
    """A config as Snakemake reads it from `--config`: every inner value a text."""
    return yaml.load(yaml.safe_dump(value), Loader=yaml.BaseLoader)


def test_config_of_texts_is_the_config(config):
    assert read_texts(texts(config), SCHEMA) == config


def test_options_without_a_schema_are_read_as_yaml():
    given = {"heads": {"knn": {"k": "7"}}, "methods": {"cam": {"method": "grad_cam", "layer": "layer2"}, "lrp": "null"}}
    assert read_texts(given, SCHEMA) == {
        "heads": {"knn": {"k": 7}},
        "methods": {"cam": {"method": "grad_cam", "layer": "layer2"}, "lrp": None},
    }


@pytest.mark.parametrize("text", ["8 images", "1e-3", "[", "", "2026-01-01"])
def test_text_that_is_no_number_stays_and_is_refused(config, text):
    config["flipping"]["steps"] = text
    with pytest.raises(ClxaiError, match=r"flipping\.steps: expected integer, got the string"):
        check_schema(read_texts(config, SCHEMA), SCHEMA)


def test_home_in_a_path_is_written_out(config, monkeypatch):
    monkeypatch.setenv("HOME", "/home/reader")
    config["datasets"]["digits"]["path"] = "~/images.npz"
    assert read_texts(config, SCHEMA)["datasets"]["digits"]["path"] == "/home/reader/images.npz"


def test_home_of_nobody_is_a_path_that_does_not_exist(config):
    config["datasets"]["digits"].update({"source": "folder", "path": "~nobody-of-that-name/images"})
    with pytest.raises(ClxaiError, match="'~nobody-of-that-name/images' does not exist"):
        check(read_texts(config, SCHEMA))
