"""The code of README and docs/library.md runs as it stands, and names all that is public."""

import inspect
import re
from pathlib import Path

import clxai
import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "library.md"


def python_of(text):
    """The blocks of Python of a page, as one program."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


def run(program):
    names = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(program, "page", "exec"), names)
    return names


def test_page_of_the_library_runs_from_top_to_bottom(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    found = run(python_of(PAGE.read_text()))
    assert set(found["found"].means["method"]) == {"random", "saliency", "grad_cam", "mine"}
    assert found["maps"]["edges"].attrs["method"] == "edges"
    assert "digits" in capsys.readouterr().out


def test_example_of_the_readme_is_ten_lines_and_needs_no_checkout(monkeypatch, tmp_path, capsys):
    section = (ROOT / "README.md").read_text().split("## As a library")[1].split("\n## ")[0]
    program = python_of(section)
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    means = clxai.summarise(run(program)["curves"]).means
    assert means["mean"].notna().all()
    assert "grad_cam" in capsys.readouterr().out


@pytest.mark.parametrize("name", clxai.__all__)
def test_page_names_everything_that_is_public(name):
    """Every name, and every keyword of every function."""
    page, public = PAGE.read_text(), getattr(clxai, name)
    assert f"`clxai.{name}`" in page
    if inspect.isfunction(public):
        kinds = {key: one.kind for key, one in inspect.signature(public).parameters.items()}
        keywords = [key for key, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY]
        assert [key for key in keywords if not re.search(rf"\b{key}\b", page)] == []
