"""The look of a figure is ours: no setting of the user's matplotlib reaches its bytes."""

import hashlib
import os
import subprocess
import sys

import pytest

DRAW = """
from clxai.figures.style import use_style, save
use_style()
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([0, 1], [1, 0], label="one")
axes.set(xlabel="removed share", title="-1")
axes.legend()
save(figure, "figure.svg", "figure.pdf")
"""
HOSTILE = """
text.usetex: True
font.family: serif
font.size: 40
figure.figsize: 2, 2
savefig.bbox: tight
savefig.transparent: True
svg.fonttype: none
lines.linewidth: 9
axes.unicode_minus: False
axes.prop_cycle: cycler("color", ["red"])
axes.formatter.use_locale: True
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Draw a figure in a fresh process; return the digests of its files."""

    def draw(matplotlibrc="", **variables):
        folder = tmp_path_factory.mktemp("figure")
        if matplotlibrc:
            (folder / "matplotlibrc").write_text(matplotlibrc)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "MATPLOTLIB"))}
        process = subprocess.run(
            [sys.executable, "-c", DRAW], cwd=folder, env={**clean, **variables}, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stderr
        return [hashlib.sha256((folder / f"figure.{kind}").read_bytes()).hexdigest() for kind in ("svg", "pdf")]

    return draw


@pytest.fixture(scope="module")
def clean(drawn):
    return drawn()


@pytest.mark.parametrize("setting", ["text.usetex: True", HOSTILE])
def test_no_matplotlibrc_changes_the_bytes_of_a_figure(drawn, clean, setting):
    assert drawn(matplotlibrc=setting) == clean


def test_back_end_of_the_user_changes_nothing(drawn, clean):
    """One that is not installed does not even let matplotlib be imported: the rules take it away from their jobs."""
    assert drawn(MPLBACKEND="pdf") == clean


def test_matplotlibrc_named_by_a_variable_changes_nothing(drawn, clean, tmp_path):
    (tmp_path / "mine").write_text(HOSTILE)
    assert drawn(MATPLOTLIBRC=str(tmp_path / "mine")) == clean
