"""Open families: declared in their source, checked while planning, loaded one by one."""

import subprocess
import sys

import pytest
from clxai import registry
from clxai.errors import ClxaiError
from clxai.registry import PLACES, Family, Place, declared, files_of, fill_keywords, keywords_of, load

BASE = """
from clxai.registry import Family

COLOURS = Family(
    "colours", keywords={"warm": {"type": "boolean"}, "mood": {"enum": ["calm", "loud"], "default": "calm"}}
)
colour = COLOURS.register
"""
PRESENT = [family for family, place in PLACES.items() if (registry.LIBRARY / place.folder / "base.py").is_file()]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A family of its own in a library of its own; returns a function that writes one of its modules."""
    monkeypatch.setattr(registry, "LIBRARY", tmp_path)
    monkeypatch.setattr(registry, "PLACES", {"colours": Place("colours", "colour", "colour")})

    def write_module(name, *lines):
        path = tmp_path / "colours" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        for cached in (declared, files_of, keywords_of, registry._found):
            cached.cache_clear()
        return path

    write_module("base.py", BASE)
    yield write_module
    monkeypatch.undo()
    for cached in (declared, files_of, keywords_of, registry._found):
        cached.cache_clear()


@pytest.fixture
def colours(write):
    """The same family with a member that was added in this process."""
    family = Family("colours", keywords=keywords_of("colours"))

    @family.register("red", warm=True)
    def red():
        return "#f00"

    return family


def test_member_keeps_its_definition_and_all_keywords(colours):
    assert colours["red"].definition() == "#f00"
    assert colours["red"].semantics == {
        "options": {},
        "at_most": {},
        "at_least": {},
        "default_share": {},
        "warm": True,
        "mood": "calm",
    }


def test_options_are_the_defaults_but_for_what_is_given(colours):
    colours.register("blue", warm=False, options={"depth": 2, "hue": 0.5})(lambda: "#00f")
    assert colours["blue"].options({"hue": 0.1}) == {"depth": 2, "hue": 0.1}


@pytest.fixture
def bounded(colours):
    """A member with an option that the data bound."""
    colours.register("blue", warm=False, options={"depth": 200}, at_most={"depth": "training_images"})(lambda: "#00f")
    return colours["blue"]


def test_default_above_what_the_data_have_is_lowered_and_said(bounded, capsys):
    assert bounded.options({}, training_images=40) == {"depth": 40}
    assert "blue: the default depth of 200 is above the training images, 40; 40 is taken" in capsys.readouterr().out
    assert bounded.options({}, training_images=1000) == bounded.options({}) == {"depth": 200}
    assert not capsys.readouterr().out


@pytest.mark.parametrize(("n_images", "depth"), [(1000, 200), (999, 199), (109, 21), (4, 1)])
def test_default_takes_no_more_than_its_share_of_what_the_data_have_and_a_given_one_may(colours, capsys, n_images, depth):
    bound = {"at_most": {"depth": "training_images"}, "default_share": {"depth": 0.2}}
    colours.register("blue", warm=False, options={"depth": 200}, **bound)(lambda: "#00f")
    assert colours["blue"].options({}, training_images=n_images) == {"depth": depth}
    said = f"blue: the default depth of 200 is above 0.2 of the training images, {n_images}; {depth} is taken\n"
    assert capsys.readouterr().out == ("" if depth == 200 else said)
    assert colours["blue"].options({"depth": n_images}, training_images=n_images) == {"depth": n_images}


def test_given_option_above_what_the_data_have_is_refused(bounded):
    assert bounded.options({"depth": 40}, training_images=40) == {"depth": 40}
    with pytest.raises(ClxaiError, match=r"blue\.depth must be at most the training images, 40\. Got 41"):
        bounded.options({"depth": 41}, training_images=40)


def test_register_returns_the_definition_unchanged(colours):
    def plain():
        return 1

    assert colours.register("plain", warm=True)(plain) is plain


def test_a_duplicate_is_refused(colours):
    with pytest.raises(ClxaiError, match="colour 'red' is registered twice"):
        colours.register("red", warm=True)(lambda: None)
    assert colours["red"].definition() == "#f00"


def test_unknown_name_suggests_the_nearest_and_lists_all(colours):
    colours.register("blue", warm=False)(lambda: "#00f")
    with pytest.raises(ClxaiError, match=r"unknown colour 'rad'\. Did you mean 'red'\? Known: blue, red"):
        colours["rad"]


def test_unknown_name_without_a_near_one_suggests_nothing(colours):
    with pytest.raises(ClxaiError, match=r"unknown colour 'xyzzy'\. Known: red"):
        colours["xyzzy"]


def test_functions_and_classes_are_declared_without_running_them(write):
    write("a.py", "import nothing_installed", "@colour('one', warm=True)", "def one():", '    """First. \n\n    More."""')
    write("b.py", "@base.colour('two', warm=False, mood='loud')", "class Two: ...", "@other('no')", "def no(): ...")
    found = declared("colours")
    assert {name: (entry.semantics["warm"], entry.semantics["mood"]) for name, entry in found.items()} == {
        "one": (True, "calm"),
        "two": (False, "loud"),
    }
    assert {name: entry.file.name for name, entry in found.items()} == {"one": "a.py", "two": "b.py"}
    assert found["one"].text == "First."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("colour('one', wram=True)", r"a\.py, line 2: @colour\('one'\): unknown keyword 'wram'\. Did you mean 'warm'\?"),
        ("colour('one')", r"a\.py, line 2: @colour\('one'\) lacks the keyword 'warm': boolean"),
        ("colour('one', warm=3)", r"a\.py, line 2: @colour\('one'\): keyword 'warm': 3 is not of type 'boolean'"),
        ("colour('one', warm=True, mood='clam')", r"unknown mood 'clam'\. Did you mean 'calm'\? Known: calm, loud"),
        ("colour('one', warm=True, options=[1])", r"keyword 'options': \[1\] is not of type 'object'"),
        ("colour('one', warm=True, options={'k': 1}, at_most={'k': 'training_image'})", "bound 'training_image'. Did you mean"),
        ("colour('one', warm=True, options={'k': 1}, at_most={'kk': 3})", "at_most: unknown option 'kk'. Did you mean 'k'"),
        ("colour('one', warm=True, options={'k': 1}, at_least={'kk': 3})", "at_least: unknown option 'kk'. Did you mean 'k'"),
        ("colour('one', warm=True, options={'k': 1}, default_share={'k': 0.5})", "default_share: unknown option 'k'"),
        ("colour('one', warm=WARM)", r"a\.py, line 2: @colour\('one'\): keywords must be literals"),
        ("colour('one', **MORE)", r"a\.py, line 2: @colour\('one'\): keywords must be literals"),
        ("colour(NAME, warm=True)", r"a\.py, line 2: @colour: keywords must be literals"),
        ("colour(warm=True)", r"a\.py, line 2: @colour needs the colour's name first"),
    ],
)
def test_wrong_declarations_are_named(write, call, message):
    write("a.py", "NAME, WARM, MORE = 'one', True, {}", f"@{call}", "def one(): ...")
    with pytest.raises(ClxaiError, match=message):
        declared("colours")


def test_a_name_declared_twice_is_refused(write):
    write("a.py", "@colour('one', warm=True)", "def one(): ...")
    write("b.py", "@colour('one', warm=True)", "def other(): ...")
    with pytest.raises(ClxaiError, match=r"b\.py, line 1: 'one' is declared twice"):
        files_of("colours")


def test_registering_refuses_wrong_keywords_too(colours):
    with pytest.raises(ClxaiError, match=r"colour 'blue': unknown keyword 'wram'\. Did you mean 'warm'"):
        colours.register("blue", wram=True)
    with pytest.raises(ClxaiError, match=r"colour 'blue' lacks the keyword 'warm'"):
        colours.register("blue")


def test_keywords_with_a_default_may_be_left_out():
    assert fill_keywords({"b": 2}, {"a": {"default": 1}, "b": {"default": 0}}, "here") == {"a": 1, "b": 2}


@pytest.mark.parametrize("family", PRESENT)
def test_declared_agrees_with_what_is_loaded(family):
    """The plan reads the source, the job imports it: both see the same names and keywords."""
    for name, entry in declared(family).items():
        assert load(family, name).semantics == entry.semantics


def test_loading_a_member_imports_no_other():
    code = "import sys; from clxai.registry import load; load('losses', 'supcon'); print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "clxai.losses.supcon" in loaded
    assert not {"clxai.losses.triplet", "clxai.losses.cross_entropy"} & set(loaded)


def test_members_of_an_unknown_name_are_refused():
    with pytest.raises(ClxaiError, match=r"unknown loss 'supcom'\. Did you mean 'supcon'"):
        load("losses", "supcom")
