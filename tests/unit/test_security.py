"""Nothing is unpickled, nothing leaves its folder, no shell sees a config value, no unchecked download."""

import ast
import io
import re
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from clxai.data import torchvision_sets
from clxai.errors import ClxaiError
from clxai.heads.base import load_head
from clxai.networks.inference import load_encoder
from clxai.runtime.artefacts import map_images, read_arrays, read_record, read_table, read_tensors, write_table
from clxai.runtime.integrity import append_digest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
FILES = sorted(SCRIPTS.rglob("*.py"))
RULES = [ROOT / "Snakefile", ROOT / "workflow" / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
files = pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(SCRIPTS)))
FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "subprocess", "pty"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.jit.load", "torch.hub.load"),
    *("pandas.read_pickle", "pd.read_pickle", "np.fromfile", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
}


def calls(file):
    """Every call of a file: its dotted name and the node."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def violations(text):
    """What a source does that it must not do."""
    tree, found = ast.parse(text), []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        found += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
            found += [name] if name in FORBIDDEN_CALLS else []
            if name in ("np.load", "numpy.load") and ast.unparse(given.get("allow_pickle", ast.Constant(None))) != "False":
                found.append(f"{name} without allow_pickle=False")
            if name == "torch.load" and ast.unparse(given.get("weights_only", ast.Constant(None))) != "True":
                found.append(f"{name} without weights_only=True")
            if ast.unparse(given.get("allow_pickle", ast.Constant(None))) == "True" or "shell" in given:
                found.append(ast.unparse(node))
    return found


@files
def test_source_neither_unpickles_nor_runs_text(file):
    allowed = {"commands/probing.py": ["subprocess"]}  # times the start of Python, by a command that no config takes part in
    assert violations(file.read_text()) == allowed.get(f"{file.parent.name}/{file.name}", [])


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "os.system(text)",
        "yaml.load(text)",
        "run(command, shell=True)",
    ],
)
def test_the_scan_finds_what_is_forbidden(text):
    assert violations(text)


@pytest.mark.parametrize("file", RULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rules_have_scripts_and_no_shell(file):
    """So no config value reaches a shell."""
    text = file.read_text()
    assert re.findall(r"^\s*(?:shell|run|notebook|cwl|wrapper|template_engine)\s*:", text, flags=re.MULTILINE) == []
    assert not re.search(r"\bshell\(", text)


def pt_file(path, pickled):
    torch.save({"weight": pickled[0]}, path)


def pickle_bytes(path, pickled):
    path.write_bytes(pickled.dumps())


def npy_file(path, pickled):
    np.save(path, pickled, allow_pickle=True)


def sealed_npy(path, pickled):
    """With a checksum that fits, as someone could add one."""
    np.save(path.with_suffix(".npy"), pickled, allow_pickle=True)
    path.with_suffix(".npy").replace(path)
    append_digest(path)


@pytest.mark.parametrize("write", [pt_file, pickle_bytes, npy_file, sealed_npy], ids=lambda write: write.__name__)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("model.npy", map_images),
        ("model.safetensors", read_tensors),
        ("model.pt", lambda path: load_encoder(path, torch.device("cpu"))),
        ("head.safetensors", lambda path: load_head(path, torch.device("cpu"))),
        ("arrays.nc", read_arrays),
        ("table.csv", read_table),
        ("record.json", read_record),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_reader_unpickles_a_file_under_any_name(tmp_path, harmful, write, name, read):
    folder, pickled = harmful
    if name == "table.csv":
        import pandas as pd

        write_table(pd.DataFrame({"a": [1]}), tmp_path / name)
    write(tmp_path / "evil.npy", pickled)
    (tmp_path / "evil.npy").replace(tmp_path / name)
    with pytest.raises(ClxaiError, match=re.escape(str(tmp_path / name))):
        read(tmp_path / name)
    assert not folder.exists()


def test_the_harmful_object_would_do_harm(harmful):
    """The file that all readers refuse is one that acts when it is unpickled."""
    import pickle

    folder, pickled = harmful
    pickle.loads(pickled.dumps())
    assert folder.exists()


def member(name, **changes):
    entry = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(entry, key, value)
    return entry


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="Python before 3.11.4 unpacks whatever an archive says")
@pytest.mark.parametrize(
    "entry",
    [
        member("../escaped.txt"),
        member("inside/../../escaped.txt"),
        member("/tmp/clxai-escaped.txt"),
        member("link", type=tarfile.SYMTYPE, linkname="../../escaped.txt"),
        member("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member("device", type=tarfile.CHRTYPE),
    ],
    ids=["up", "up_from_inside", "absolute", "symbolic_link", "hard_link", "device"],
)
def test_member_of_a_downloaded_archive_cannot_leave_its_folder(tmp_path, entry):
    """torchvision unpacks what it downloads: as this version of it does."""
    from torchvision.datasets.utils import extract_archive

    archive = tmp_path / "set.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(entry, io.BytesIO())
    target = tmp_path / "inside"
    with suppress(tarfile.FilterError, KeyError):
        extract_archive(str(archive), str(target))
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(target) and path != archive]
    assert outside == []
    assert not Path("/tmp/clxai-escaped.txt").exists()
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_downloads_without_a_checksum_are_those_that_are_refused():
    """Every download of torchvision's data sets names an MD5, but for those of `UNCHECKED`."""
    from clxai.data.torchvision_sets import UNCHECKED, chooser, set_names

    fetchers = {"download_url", "download_and_extract_archive", "download_file_from_google_drive"}
    position = {"download_url": 3, "download_and_extract_archive": 4, "download_file_from_google_drive": 3}
    folder, unchecked = torchvision_sets._folder(), set()
    for file in sorted(folder.glob("*.py")):
        if file.name == "utils.py":
            continue
        for node in ast.parse(file.read_text()).body:
            for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
                name = ast.unparse(call.func)
                has_md5 = any(word.arg == "md5" for word in call.keywords) or len(call.args) > position.get(name, 99)
                if name in fetchers and not has_md5:
                    unchecked.add(node.name)
    with_base = {name for name in set_names() if name in unchecked or ({"_LFW"} & unchecked and name.startswith("LFW"))}
    offered = {name for name in with_base if chooser(name)}
    assert offered <= set(UNCHECKED)
    assert set(UNCHECKED) <= with_base
