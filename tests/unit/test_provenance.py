"""The code that a rule depends on is found from its imports, wherever they stand."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from clxai import registry
from clxai.planning import provenance
from clxai.planning.provenance import code_of
from clxai.planning.usage import members

LIBRARY = registry.LIBRARY
SCRIPTS = sorted(LIBRARY.parent.glob("*.py"))


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small library in place of the real one; returns a function that writes a script and names its code."""
    files = {
        "clxai/__init__.py": "",
        "clxai/a.py": "from clxai.b import thing",
        "clxai/b.py": "import numpy",
        "clxai/late.py": "def f():\n    from clxai import c\n    return c",
        "clxai/c.py": "from clxai.a import x",
        "clxai/unused.py": "",
        "clxai/near.py": "from . import b\nfrom .sub.deep import thing",
        "clxai/sub/__init__.py": "from clxai.b import thing",
        "clxai/sub/deep.py": "if True:\n    import clxai.loop_1",
        "clxai/loop_1.py": "import clxai.loop_2",
        "clxai/loop_2.py": "import clxai.loop_1",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(provenance, "LIBRARY", tmp_path / "clxai")

    def code(*lines):
        script = tmp_path / "script.py"
        script.write_text("\n".join(lines))
        return {str(path.relative_to(tmp_path)) for path in code_of(script)} - {"script.py", "clxai/__init__.py"}

    return code


@pytest.mark.parametrize(
    ("line", "modules"),
    [
        ("import json", set()),
        ("from clxai.b import thing", {"b"}),
        ("import clxai.b as other", {"b"}),
        ("from clxai import b", {"b"}),
        ("from clxai.a import x", {"a", "b"}),
        ("import clxai.late", {"late", "c", "a", "b"}),
        ("from clxai.sub import deep", {"sub/__init__", "sub/deep", "b", "loop_1", "loop_2"}),
        ("import clxai.sub.deep", {"sub/__init__", "sub/deep", "b", "loop_1", "loop_2"}),
        ("def f():\n    import clxai.b", {"b"}),
        ("import clxai.near", {"near", "b", "sub/__init__", "sub/deep", "loop_1", "loop_2"}),
        ("from clxaiother.b import thing", set()),
    ],
)
def test_code_of_follows_imports(library, line, modules):
    assert library(line) == {f"clxai/{module}.py" for module in modules}


def test_code_of_names_the_script_and_the_packages_once_and_sorted(library, tmp_path):
    library("import clxai.sub.deep", "import clxai.b")
    found = code_of(tmp_path / "script.py")
    assert list(found) == sorted(set(found))
    assert {tmp_path / "script.py", tmp_path / "clxai" / "__init__.py"} <= set(found)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_code_of_every_script_exists_and_is_part_of_the_project(script):
    found = code_of(script)
    assert script in found
    assert all(path.is_file() for path in found)
    assert all(path == script or LIBRARY in path.parents for path in found)
    assert {LIBRARY / "__init__.py", LIBRARY / "runtime" / "artefacts.py"} <= set(found)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_script_puts_its_own_folder_first_before_it_imports_the_library(script):
    before = script.read_text().split("from clxai")[0]
    assert "\nsys.path.insert(0, snakemake.scriptdir)" in before


def test_code_of_training_is_what_python_loads():
    """Every module of the library that Python has loaded after the script's imports is listed."""
    script = LIBRARY.parent / "train_model.py"
    imports = [ast.unparse(node) for node in ast.parse(script.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    show = "import sys; print(*(m.__file__ for n, m in list(sys.modules.items()) if n.split('.')[0] == 'clxai'), sep='\\n')"
    command = [sys.executable, "-c", "\n".join([*imports, show])]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    loaded = {Path(path).resolve() for path in loaded if path}
    assert len(loaded) > 10
    silent = {LIBRARY / f"{name}.py" for name in provenance.SILENT}
    assert loaded - silent <= {path.resolve() for path in code_of(script)}


def test_code_of_leaves_out_what_a_script_does_not_import():
    found = {path.name for path in code_of(LIBRARY.parent / "prepare_data.py")}
    assert "preparing.py" in found
    assert not found & {"training.py", "digits.py", "engine.py"}


def test_code_of_has_the_members_that_are_used_and_no_others():
    script = LIBRARY.parent / "train_model.py"
    added = set(code_of(script, ("losses", "supcon"))) - set(code_of(script))
    assert added == {LIBRARY / "losses" / "supcon.py"}


def test_silent_modules_are_no_code():
    for script in SCRIPTS:
        assert not {LIBRARY / f"{name}.py" for name in provenance.SILENT} & set(code_of(script))


def test_edited_code_is_named_unless_it_is_silent():
    scripts = Path("/somewhere/scripts")
    before = {scripts / name: "1" for name in ("flip.py", "clxai/keys.py", "clxai/runtime/logs.py", "clxai/runtime/chunks.py")}
    now = {**before, scripts / "clxai/runtime/logs.py": "2", scripts / "clxai/runtime/chunks.py": "2", scripts / "new.py": "1"}
    del now[scripts / "flip.py"]
    assert provenance.edited(before, now) == [scripts / name for name in ("clxai/runtime/chunks.py", "flip.py", "new.py")]
    assert provenance.edited(before, before) == []


def test_the_fill_of_a_baseline_is_code_of_its_method_alone(config):
    config["methods"]["occlusion"] = {"baseline": "noise"}
    job = SimpleNamespace(model="ce", seed="0", units="grid", method="occlusion")
    assert ("fills", "noise") in members(config, "attribute", job)
    job.method = "saliency"
    assert "fills" not in dict(members(config, "attribute", job))
    assert {("fills", "mean"), ("units", "grid")} <= set(members(config, "flip", job))
