"""A process writes only while it is the job of its log, with the code that it was started with."""

import os

import pytest
from clxai.errors import ClxaiError
from clxai.runtime import identity, jobs
from clxai.runtime.artefacts import write_record


@pytest.fixture
def job(tmp_path, monkeypatch):
    """This process as a job with one code file; the log begins with its line."""
    monkeypatch.setattr(jobs, "_CURRENT", [])
    monkeypatch.setattr(identity, "SCRIPTS", tmp_path.resolve())
    code, log = tmp_path / "losses.py", tmp_path / "train.log"
    code.write_text("one")
    log.write_text(jobs.begin(log, [str(code)]) + "\nepoch 1\n")
    return log, code


def test_job_that_is_current_writes(job, tmp_path):
    write_record({"a": 1}, tmp_path / "a.json")
    assert (tmp_path / "a.json").exists()


def test_line_of_a_job_names_its_process(job):
    assert job[0].read_text().startswith(f"clxai job {os.getpid()} on ")


def test_job_whose_log_was_taken_over_writes_nothing(job, tmp_path):
    log, _ = job
    log.write_text("clxai job 1 on elsewhere since 2026-01-01 00:00:00 ff\n")
    with pytest.raises(ClxaiError, match=r"train\.log: this process .* was replaced by another .*its result is dropped"):
        write_record({"a": 1}, tmp_path / "a.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["losses.py", "train.log"]


@pytest.mark.parametrize("text", [None, "", "tidied up\n"])
def test_log_that_was_deleted_or_tidied_up_stops_nothing(job, tmp_path, text):
    """Only a successor does."""
    log, _ = job
    log.unlink()
    if text is not None:
        log.write_text(text)
    write_record({"a": 1}, tmp_path / "a.json")


def test_job_whose_code_was_edited_writes_nothing(job, tmp_path):
    _, code = job
    code.write_text("two")
    with pytest.raises(ClxaiError, match=r"losses\.py was edited while this job ran"):
        write_record({"a": 1}, tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_job_whose_code_was_touched_writes(job, tmp_path):
    _, code = job
    os.utime(code)
    write_record({"a": 1}, tmp_path / "a.json")


def test_code_that_vanishes_stops_the_job(job, tmp_path):
    job[1].unlink()
    with pytest.raises(ClxaiError, match=r"losses\.py was edited"):
        write_record({"a": 1}, tmp_path / "a.json")
