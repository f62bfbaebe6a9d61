"""A job runs the library beside its script, with the content that was planned."""

import pytest
from clxai.errors import ClxaiError
from clxai.runtime import identity


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A folder of scripts with a library of two modules, loaded by this process, and the environment of its jobs."""
    scripts = tmp_path / "one" / "scripts"
    for name in ("flip.py", "clxai/flipping/curves.py", "clxai/figures/srg.py"):
        (scripts / name).parent.mkdir(parents=True, exist_ok=True)
        (scripts / name).write_text(name)
    monkeypatch.setattr(identity, "SCRIPTS", scripts)
    environment = {}
    identity.announce(identity.code_digests(scripts), scripts, environment)
    return scripts, environment


def code(scripts):
    return [str(scripts / "flip.py"), str(scripts / "clxai/flipping/curves.py")]


def test_planned_code_passes_with_its_digests(planned):
    scripts, environment = planned
    digests = identity.require_planned(code(scripts), environment)
    assert list(digests) == code(scripts)
    assert all(len(digest) == 64 for digest in digests.values())


def test_job_without_an_announcement_passes(planned):
    """A test, or an executor that passes no environment on."""
    assert identity.require_planned(code(planned[0]), {})


@pytest.mark.parametrize("name", ["flip.py", "clxai/flipping/curves.py"])
def test_code_edited_since_planning_is_refused(planned, name):
    scripts, environment = planned
    (scripts / name).write_text("edited")
    with pytest.raises(ClxaiError, match=rf"{name} was edited after this run of Snakemake was started: run Snakemake again"):
        identity.require_planned(code(scripts), environment)


def test_edit_of_a_module_that_the_job_does_not_use_stops_nothing(planned):
    scripts, environment = planned
    (scripts / "clxai/figures/srg.py").write_text("edited")
    identity.require_planned(code(scripts), environment)


def test_library_of_another_checkout_is_refused_though_equal(planned, tmp_path):
    scripts, environment = planned
    other = tmp_path / "other" / "scripts"
    scripts.parent.joinpath("scripts").rename(tmp_path / "kept")
    (tmp_path / "other").mkdir()
    (tmp_path / "kept").rename(other)
    with pytest.raises(ClxaiError, match=r"the job of .*other/scripts/flip\.py has loaded the library of .*one/scripts"):
        identity.require_planned(code(other), environment)


def test_folder_that_moved_as_a_whole_is_the_same_code(planned, tmp_path, monkeypatch):
    """A container may see the folder under another name."""
    scripts, environment = planned
    scripts.rename(tmp_path / "mounted")
    monkeypatch.setattr(identity, "SCRIPTS", tmp_path / "mounted")
    identity.require_planned(code(tmp_path / "mounted"), environment)


def test_folder_that_a_container_does_not_see_is_named(planned):
    scripts, environment = planned
    with pytest.raises(ClxaiError, match=r"gone\.py is not there for this job: mount the folder of the workflow"):
        identity.require_planned([str(scripts / "gone.py")], environment)
