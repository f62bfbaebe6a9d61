"""The notebooks run from top to bottom as a reader would run them, and are committed without what they printed."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
names = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return json.loads(path.read_text())


@names
def test_notebook_is_committed_without_outputs(path):
    code = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code), "strip the outputs"
    assert len(code) <= 9


def test_every_notebook_is_named_in_the_documents():
    text = (ROOT / "docs" / "library.md").read_text()
    assert {path.name for path in NOTEBOOKS} == set(re.findall(r"\(\.\./notebooks/(\w+\.ipynb)\)", text))


@pytest.mark.campaign
@names
def test_notebook_runs_from_top_to_bottom(path, monkeypatch):
    """In a kernel of this environment, from the folder of the notebook; the first cell that fails fails the test."""
    import nbformat
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient import NotebookClient

    own = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: own)  # not one that the user has installed
    monkeypatch.setenv("TQDM_DISABLE", "1")
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    NotebookClient(book, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert any("text/html" in output.get("data", {}) for output in shown)  # a table of pandas
    assert any("image/png" in output.get("data", {}) for output in shown)
