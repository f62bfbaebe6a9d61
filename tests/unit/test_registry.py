"""Families register entries once, by name, and declare them without being imported."""

import pytest
from clxai.data.sources import base as sources
from clxai.errors import ClxaiError
from clxai.heads import base as heads
from clxai.losses import base as losses
from clxai.planning.config import catalogue
from clxai.registry import Registry, declared


@pytest.fixture
def colours():
    registry = Registry("colour")

    @registry.register("red", warm=True)
    def red():
        return "#f00"

    registry.register("blue", warm=False)(lambda: "#00f")
    return registry


def test_registry_entries_keep_definition_and_semantics(colours):
    assert list(colours) == ["red", "blue"]
    assert colours["red"].build() == "#f00"
    assert colours["red"].semantics == {"warm": True}


def test_register_returns_the_definition_unchanged():
    def plain():
        return 1

    assert Registry("thing").register("plain")(plain) is plain


def test_register_refuses_a_duplicate(colours):
    with pytest.raises(ClxaiError, match="colour 'red' is registered twice"):
        colours.register("red")(lambda: None)
    assert colours["red"].build() == "#f00"


def test_unknown_name_suggests_the_nearest_and_lists_all(colours):
    with pytest.raises(ClxaiError, match=r"unknown colour 'rad'\. Did you mean 'red'\? Known: blue, red"):
        colours["rad"]


def test_unknown_name_without_a_near_one_suggests_nothing(colours):
    with pytest.raises(ClxaiError, match=r"unknown colour 'xyzzy'\. Known: blue, red"):
        colours["xyzzy"]


@pytest.mark.parametrize(
    ("family", "registry"), [("losses", losses.LOSSES), ("heads", heads.HEADS), ("sources", sources.SOURCES)]
)
def test_declared_agrees_with_what_is_registered(family, registry):
    """The plan reads the source, the job imports it: both must see the same names and semantics."""
    found = catalogue(family)
    assert {name: entry.semantics for name, entry in found.items()} == {name: entry.semantics for name, entry in registry.items()}


def write(folder, name, *lines):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_declared_reads_functions_and_classes_of_a_folder_without_running_them(tmp_path):
    write(tmp_path, "a.py", "import nothing_installed", "@thing('one', size=3)", "def one(): ...")
    write(tmp_path, "b.py", "@thing('two', names=['x'], nested={'y': 0.5})", "class Two: ...", "@other('no')", "def no(): ...")
    found = declared(tmp_path, "thing")
    assert {name: dict(entry.semantics) for name, entry in found.items()} == {
        "one": {"size": 3},
        "two": {"names": ["x"], "nested": {"y": 0.5}},
    }
    assert {name: entry.file.name for name, entry in found.items()} == {"one": "a.py", "two": "b.py"}


def test_declared_refuses_a_name_declared_twice_in_a_folder(tmp_path):
    write(tmp_path, "a.py", "@thing('one')", "def one(): ...")
    write(tmp_path, "b.py", "@thing('one')", "def other(): ...")
    with pytest.raises(ClxaiError, match=r"b\.py, line 1: 'one' is declared twice"):
        declared(tmp_path, "thing")


@pytest.mark.parametrize("call", ["thing('one', size=SIZE)", "thing('one', size=len('abc'))", "thing(NAME)"])
def test_declared_refuses_what_is_not_literal(tmp_path, call):
    path = write(tmp_path, "a.py", "NAME, SIZE = 'one', 3", f"@{call}", "def one(): ...")
    with pytest.raises(ClxaiError, match=r"a\.py, line 2: the keywords of @thing must be literals"):
        declared(path, "thing")
