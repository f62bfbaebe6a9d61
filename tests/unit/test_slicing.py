"""A slice knows when to stop, says what is left, and removes the lock that a dead one left, and no other."""

import fcntl
import logging
import os
import sys
import time
from collections import Counter
from types import SimpleNamespace

import psutil
import pytest
from clxai.commands.main import main
from clxai.commands.slice import LEFT, code, words
from clxai.commands.slicing import LOCK, Ledger, Times, Watch, end_children, remove_dead_locks
from clxai.errors import ClxaiError


def event(name, level=logging.INFO, **values):
    """A record as Snakemake logs it."""
    record = logging.LogRecord("snakemake", level, "", 0, "", (), None)
    record.__dict__.update(event=SimpleNamespace(name=name), **values)
    return record


@pytest.fixture
def ledger():
    """Of five jobs one is done, and two run."""
    ledger = Ledger()
    ledger.filter(event("RUN_INFO", stats={"train_model": 2, "flip": 3, "curves_all": 1, "total": 6}))
    for job, rule, model in ((1, "train_model", "ce"), (2, "train_model", "supcon"), (3, "flip", "ce")):
        ledger.filter(event("JOB_INFO", jobid=job, rule_name=rule, wildcards={"model": model, "seed": 0}))
    ledger.filter(event("JOB_FINISHED", job_id=1))
    return ledger


@pytest.mark.parametrize(
    ("minutes", "grace", "last_start", "stop"),
    [(1.0, None, 48.0, 54.0), (60.0, None, 3285.0, 3585.0), (600.0, None, 35685.0, 35985.0), (10.0, 60.0, 525.0, 585.0)],
)
def test_last_part_of_a_slice_starts_nothing_and_its_end_is_kept_free(minutes, grace, last_start, stop):
    """A tenth, at most 5 minutes; the end a tenth too, at most 15 s."""
    assert Times.of(minutes, grace) == Times(last_start, stop)


@pytest.mark.parametrize("grace", [-1.0, 54.0])
def test_grace_must_fit_into_the_slice(grace):
    with pytest.raises(ClxaiError, match=r"--grace must be from 0 to the slice's 54 s"):
        Times.of(1.0, grace)


def test_slice_that_ran_out_of_time_says_what_is_left(ledger):
    ledger.out_of_time = ledger.stopping = True
    assert not ledger.filter(event("JOB_ERROR", logging.ERROR, jobid=2, rule_name="train_model"))  # not shown: the slice did it
    assert not ledger.filter(event("JOB_ERROR", logging.ERROR, jobid=3, rule_name="flip"))
    assert words(ledger, succeeded=False) == [
        "cut off after 0 s: train_model supcon 0, goes on after its last saved epoch",
        "cut off after 0 s: flip ce 0, starts again",
        "slice not finished: 1 jobs done, 4 left (1 train_model, 3 flip); call again",
    ]
    assert code(ledger, succeeded=False) == LEFT == 3


def test_job_that_failed_by_itself_is_no_lack_of_time(ledger):
    assert ledger.filter(event("JOB_ERROR", logging.ERROR, jobid=2, rule_name="train_model"))
    ledger.out_of_time = True
    said = words(ledger, succeeded=False)
    assert said == ["failed: train_model supcon 0", "slice failed: 1 jobs done, 4 left (1 train_model, 3 flip)"]
    assert code(ledger, succeeded=False) == 1


@pytest.mark.parametrize(("planned", "succeeded"), [({}, True), ({"flip": 2}, True), ({"flip": 2}, False)])
def test_slice_whose_last_job_ends_in_the_grace_is_finished(planned, succeeded):
    """Snakemake, asked to stop, does not call that a success."""
    ledger = Ledger()
    ledger.planned, ledger.done, ledger.out_of_time = planned, Counter(planned), not succeeded
    assert code(ledger, succeeded) == 0
    assert words(ledger, succeeded) == [f"slice finished: {sum(planned.values())} jobs done, nothing left"]


@pytest.mark.parametrize(("out_of_time", "expected"), [(True, LEFT), (False, 1)])
def test_refused_config_is_an_error_and_planning_that_takes_too_long_is_none(out_of_time, expected):
    ledger = Ledger()
    ledger.out_of_time = out_of_time
    assert code(ledger, succeeded=False) == expected


def test_watch_asks_snakemake_then_ends_the_jobs(tmp_path, monkeypatch):
    """By the clock alone: first one SIGTERM to this process, then to all that it started."""
    asked, ended = [], []
    monkeypatch.setattr(os, "kill", lambda process, number: asked.append((process, number.name)))
    monkeypatch.setattr("clxai.commands.slicing.end_children", lambda kill: ended.append(kill))
    monkeypatch.setattr("clxai.commands.slicing._BEAT", 0.01)
    (lock := tmp_path / "lock").touch()
    watch = Watch(Times(0.1, 0.2), Ledger(), lock, time.time())
    monkeypatch.setattr(watch.over, "wait", lambda _: time.sleep(0.01) or len(ended) > 2)
    watch.run()
    assert asked == [(os.getpid(), "SIGTERM")]
    assert ended == [False] * 3
    assert watch.ledger.out_of_time and watch.ledger.stopping


def test_all_that_a_process_started_is_ended():
    program = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)"
    child = psutil.Popen([sys.executable, "-c", program], stdout=-1)
    with child.stdout:
        child.stdout.readline()
    family = [child, *child.children()]
    end_children()
    child.wait(10)
    psutil.wait_procs(family, 10)
    assert len(family) == 2 and not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)


@pytest.mark.parametrize(("age", "stays"), [(100, False), (-100, True)])
def test_lock_of_a_dead_slice_is_removed_and_that_of_another_run_stays(tmp_path, capsys, age, stays):
    """Younger than the last sign of life of the slice: somebody else's."""
    lock, file = tmp_path / "locks" / "0.input.lock", tmp_path / "slice.lock"
    lock.parent.mkdir()
    lock.touch()
    file.touch()
    os.utime(file, (time.time() + age,) * 2)
    remove_dead_locks(file)
    assert lock.exists() == stays
    assert ("was killed" in capsys.readouterr().out) != stays


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes must be above 0. Got 0"),
        (["--minutes", "1", "absent.yaml"], "absent.yaml: no such config file"),
    ],
)
def test_wrong_slice_is_refused(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["slice", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_second_slice_in_a_directory_is_refused(tmp_path, capsys):
    file = tmp_path / LOCK
    file.parent.mkdir()
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["slice", "--minutes", "1", "--directory", str(tmp_path)]) == 1
    assert "another slice runs in this directory" in capsys.readouterr().err
