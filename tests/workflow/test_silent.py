"""Modules that are nobody's code cannot change a result: stubs in their place that do nothing give the same bytes."""

import shutil

import pytest
from clxai.planning.provenance import SILENT
from project import Project, science

pytestmark = pytest.mark.xdist_group("finished")  # one tiny study serves these files

# What other modules import of each, doing nothing: no log, no check, no lease, no word in an error.
STUBS = {
    "errors": """
STORE_8_BITS = ""

class ClxaiError(ValueError):
    pass

def unknown_name(what, name, known):
    return ClxaiError()

def some_of(names, most):
    return ""
""",
    "runtime/identity": """
def digest_of(path):
    return ""

def code_digests(scripts):
    return {}

def announce(digests, scripts, environment):
    pass

def require_planned(code, environment):
    return {}
""",
    "runtime/jobs": """
def begin(log, code):
    return ""

def require_current():
    pass
""",
    "runtime/leases": """
def take_lease(job):
    return None

def release():
    pass
""",
    "runtime/logs": """
def log_to(path, code=()):
    pass
""",
}
CURVES = "results/digits/ce/seed0/curves/evaluation/grid/saliency.nc"


@pytest.fixture(scope="module")
def stubbed(finished, tmp_path_factory):
    """A copy of the finished project whose silent modules do nothing."""
    folder = tmp_path_factory.mktemp("stubbed") / "project"
    shutil.copytree(finished.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in STUBS.items():
        (folder / f"workflow/scripts/clxai/{name}.py").write_text(f'"""Does nothing."""\n{text}')
    return Project(folder)


def test_every_silent_module_has_its_stub():
    assert set(STUBS) == set(SILENT)


def test_another_silent_module_reruns_nothing(stubbed):
    assert stubbed.planned() == {}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-F", CURVES), marks=pytest.mark.campaign, id="curves"),
        pytest.param(("-R", "summarise", "--until", "check_study"), id="tables"),
    ],
)
def test_results_without_the_silent_modules_are_the_same_bytes(finished, stubbed, arguments):
    """From the images to the curves of a model, then the tables of the study."""
    process = stubbed.snakemake("--cores", "2", *arguments)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    found, expected = science(stubbed.folder), science(finished.folder)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
