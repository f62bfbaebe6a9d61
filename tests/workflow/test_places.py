"""Whose code and config a run uses: those of the checkout whose Snakefile runs, wherever it runs and whatever is installed."""

import os
import re
from dataclasses import replace

import pytest
from clxai.commands.main import main
from clxai.commands.new import CHECKOUT, lay_out
from clxai.planning.provenance import SILENT
from project import TINY, Project, copy_project

IMAGES, SAMPLE = "results/digits/data/images.npy", "results/digits/data/samples/evaluation.csv"
MODULE = """
configfile: "study.yaml"
module clxai:
    snakefile: "{checkout}/workflow/Snakefile"
    config: config["clxai"]
use rule * from clxai as clxai_*
"""


@pytest.fixture
def other(tmp_path):
    """The environment in which another checkout is installed, whose library ends every job that loads it."""
    other = copy_project(tmp_path / "other")
    module = other.folder / "workflow/scripts/clxai/runtime/logs.py"
    module.write_text(module.read_text() + "\nraise RuntimeError('the other checkout')\n")
    return {"PYTHONPATH": str(other.folder / "workflow" / "scripts")}


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a library that says so when it prepares data."""
    project = copy_project(tmp_path / "checkout")
    module = project.folder / "workflow/scripts/clxai/data/preparing.py"
    module.write_text(module.read_text() + "\nprint('the library of this checkout')\n")
    return project


@pytest.fixture
def elsewhere(tmp_path):
    """An empty working directory."""
    (tmp_path / "elsewhere").mkdir()
    return Project(tmp_path / "elsewhere")


def plain(checkout, elsewhere, target):
    return checkout, checkout.snakemake("--cores", "1", target)


def directory(checkout, elsewhere, target):
    place = ("-s", f"{checkout.folder}/Snakefile", "-d", str(elsewhere.folder))
    return elsewhere, checkout.snakemake("--cores", "1", *place, target)


def module(checkout, elsewhere, target):
    lines = (checkout.folder / TINY).read_text().splitlines()
    (elsewhere.folder / "study.yaml").write_text("clxai:\n" + "\n".join(f"  {line}" for line in lines))
    (elsewhere.folder / "Snakefile").write_text(MODULE.format(checkout=checkout.folder))
    return elsewhere, elsewhere.snakemake("--cores", "1", target, config=None)


@pytest.mark.parametrize("way", [plain, directory, module])
def test_jobs_use_the_library_beside_their_script(checkout, elsewhere, other, way):
    project, process = way(replace(checkout, environment=other), replace(elsewhere, environment=other), IMAGES)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "the library of this checkout" in (project.folder / "results/digits/logs/prepare_data.log").read_text()
    assert (project.folder / IMAGES).exists()


def test_no_job_sees_the_matplotlib_of_the_user(fresh, tmp_path):
    """A notebook's back end kills every job that imports matplotlib, as Captum does; a settings file changes figures."""
    module = fresh.folder / "workflow/scripts/clxai/data/preparing.py"
    module.write_text(module.read_text() + "\nimport matplotlib\nprint('back end', matplotlib.get_backend())\n")
    (tmp_path / "settings").write_text("backend: pdf\n")
    values = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": str(tmp_path / "settings")}
    process = Project(fresh.folder, values).snakemake("--cores", "1", IMAGES)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "back end agg" in (fresh.folder / "results/digits/logs/prepare_data.log").read_text()


def test_module_edited_between_planning_and_its_job_is_refused(checkout):
    """The first job of the run edits what the second one loads."""
    script = checkout.folder / "workflow/scripts/prepare_data.py"
    edit = "\nfrom pathlib import Path\nPath(__file__).with_name('sample_images.py').open('a').write('# edited')\n"
    script.write_text(script.read_text() + edit)
    process = checkout.snakemake("--cores", "1", SAMPLE)
    assert process.returncode != 0
    assert "sample_images.py was edited after this run of Snakemake was started" in process.stdout + process.stderr


def test_silent_module_edited_while_a_study_runs_stops_nothing(checkout):
    """The first job of the run edits what cannot change a result, before the second one starts."""
    edits = "".join(f"\n(library / '{name}.py').open('a').write('# edited')" for name in SILENT)
    script = checkout.folder / "workflow/scripts/prepare_data.py"
    script.write_text(f"{script.read_text()}\nfrom pathlib import Path\nlibrary = Path(__file__).with_name('clxai'){edits}\n")
    process = checkout.snakemake("--cores", "1", SAMPLE)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "edited while this run" not in process.stdout + process.stderr
    assert checkout.planned(SAMPLE) == {}


def test_moved_checkout_reruns_nothing(checkout, elsewhere):
    """The place of the library is no input."""
    assert checkout.snakemake("--cores", "1", IMAGES).returncode == 0
    checkout.folder.rename(elsewhere.folder / "moved")
    assert Project(elsewhere.folder / "moved", checkout.environment).planned(IMAGES) == {}


@pytest.mark.parametrize("arguments", [(), ("--config", "flipping={steps: 8}", "samples={evaluation: {images: 20}}")])
def test_default_config_is_read_wherever_the_run_is(checkout, elsewhere, arguments):
    place = ("-s", f"{checkout.folder}/Snakefile", "-d", str(elsewhere.folder))
    planned = elsewhere.planned(*place, *arguments, config=None)
    assert planned["train_model"] == 12


def test_new_study_is_planned_from_any_directory(checkout, elsewhere, tmp_path):
    """It reads its own config, and no default of the checkout, whose rules and library it uses."""
    lay_out(tmp_path / "mine", checkout.folder)
    (tmp_path / "mine" / "config" / "config.yaml").write_text((checkout.folder / TINY).read_text())
    place = ("-s", f"{tmp_path}/mine/Snakefile", "-d", str(elsewhere.folder))
    planned = elsewhere.planned(*place, config=None)
    assert (planned["train_model"], planned["attribute"], planned["prepare_data"]) == (2, 6, 1)


def test_check_says_what_snakemake_would_run_or_refuse(checkout, elsewhere, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(elsewhere.folder)
    (elsewhere.folder / "wrong.yaml").write_text("study: {models: [ce, supcom]}")
    config = str(checkout.folder / TINY)
    assert main(["check", config, "--snakefile", str(CHECKOUT / "Snakefile")]) == 0
    said = capsys.readouterr().out
    assert "model:    ce, supcon\n" in said and re.search(r"^flip +6$", said, flags=re.MULTILINE)
    assert main(["check", config, "wrong.yaml"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clxai check: config: study.models: unknown model 'supcom'. Did you mean 'supcon'?")
    assert said.count("\n") == 1
    assert "CLXAI_CODE_SHA256" not in os.environ


def test_config_file_of_another_directory_is_merged_over_the_default(checkout, elsewhere):
    (elsewhere.folder / "mine.yaml").write_text("study: {seeds: [4]}")
    planned = elsewhere.planned("-s", f"{checkout.folder}/Snakefile", config="mine.yaml")
    assert planned["train_model"] == 4


@pytest.mark.xdist_group("finished")
def test_report_of_a_module_builds(finished, tmp_path):
    """The captions read the module's config, not that of the workflow around it."""
    (tmp_path / "study.yaml").write_text("study: the config around\nclxai:\n" + indented(finished.folder / TINY))
    snakefile = MODULE.format(checkout=finished.folder).replace("study.yaml", str(tmp_path / "study.yaml"))
    (tmp_path / "Snakefile").write_text(snakefile.replace(" as clxai_*", ""))
    report = ("--report", str(tmp_path / "report.zip"))
    process = finished.snakemake("-s", str(tmp_path / "Snakefile"), "-d", str(finished.folder), *report, "all", config=None)
    assert process.returncode == 0, process.stdout + process.stderr
    assert (tmp_path / "report.zip").stat().st_size > 100_000


def indented(file):
    return "".join(f"  {line}\n" for line in file.read_text().replace("study:", "study:\n  name: tiny").splitlines())
