"""What sources tell planning, and that those which tell nothing work."""

from types import MappingProxyType

import pytest
from clxai.errors import ClxaiError
from clxai.planning import extents
from clxai.planning.extents import Extent, check_source, content, measure
from clxai.registry import Declaration, declared, fill_keywords, keywords_of


@pytest.fixture
def stranger(monkeypatch, tmp_path, entry):
    """A function that declares a source of another's with these keywords and returns an entry of it."""

    def declare(changes=MappingProxyType({}), **keywords):
        semantics = fill_keywords(keywords, keywords_of("sources"), "here")
        source = Declaration("mine", semantics, "", tmp_path / "mine.py")
        monkeypatch.setattr(extents, "declared", lambda family: {**declared(family), "mine": source})
        return entry("mine", **changes)

    return declare


def test_source_that_tells_nothing_has_an_unknown_extent(stranger):
    mine = stranger()
    check_source(mine, "datasets.a")
    assert measure(mine, "datasets.a") == Extent({"train": None, "val": None, "test": None}, None)
    assert content(mine, "a") is None


def test_its_size_is_known_where_the_config_gives_it(stranger):
    assert measure(stranger({"size": 32}), "datasets.a").bounds == {"training_images": None, "image_size": 32}


def test_module_of_a_source_is_asked(stranger, tmp_path, monkeypatch):
    (tmp_path / "of_mine.py").write_text(
        "def check(entry, where): assert where == 'datasets.a'\n"
        "def extent(entry, where): return {'train': 50, 'val': 5, 'test': 9}, (20, 30)\n"
        "def content(entry): return 'abc'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = stranger(planning="of_mine")
    check_source(mine, "datasets.a")
    assert measure(mine, "datasets.a") == Extent({"train": 50, "val": 5, "test": 9}, (20, 30))
    assert measure(mine, "datasets.a").bounds == {"training_images": 50, "image_size": 20}
    assert content(mine, "a") == "abc"
    assert content({**mine, "watch": "stat"}, "a") == "abc"
    assert content({**mine, "watch": "none"}, "a") is None


def test_module_that_is_not_there_is_named(stranger):
    with pytest.raises(ClxaiError, match=r"mine\.py: source 'mine': planning='no_such' cannot be imported"):
        check_source(stranger(planning="no_such"), "datasets.a")


def test_options_of_a_source_are_checked_as_its_arguments(stranger):
    check_source(stranger({"arguments": {"fold": 2}}, options={"fold": 1}), "datasets.a")
    with pytest.raises(ClxaiError, match=r"datasets\.a\.arguments: unknown option 'fould'\. Did you mean 'fold'"):
        check_source(stranger({"arguments": {"fould": 2}}, options={"fold": 1}), "datasets.a")


@pytest.mark.parametrize("name", declared("sources"))
def test_planning_of_every_source_needs_no_torch(name):
    """And no numpy: every call of Snakemake, and every job, imports it."""
    import subprocess
    import sys

    module = declared("sources")[name].semantics["planning"]
    code = f"import sys, {module}; print(*{{'torch', 'numpy', 'torchvision'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
