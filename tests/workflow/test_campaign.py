"""The fault campaign: what a busy machine does to a study, and what becomes of it. Run by `make campaign`; the figures are in
docs/reliability.md.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.campaign, pytest.mark.xdist_group("finished")]

KILLS = 24
TARGET = "tables_all"


def start(project, *arguments, config="tests/workflow/tiny.yaml"):
    """Start Snakemake in the background, its words into a file, in a session of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", config]
    with (project.folder / "snakemake.txt").open("ab") as words:
        return subprocess.Popen(command, cwd=project.folder, stdout=words, stderr=words, start_new_session=True)


def words(project):
    """All that Snakemake has said so far."""
    return (project.folder / "snakemake.txt").read_text()


def jobs_of(project):
    """The processes that run scripts of this project, by process number: the rule's script, orphans included."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has just ended
            continue
        script = re.search(re.escape(f"{project.folder}/.snakemake/scripts/") + r"\w+\.(\w+)\.py", command)
        if script:
            found[int(entry.name)] = script.group(1)
    return found


def wait_for(condition, seconds=120):
    """Wait until a condition holds and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return value


def job_running(project, rule):
    """A process of this rule that has begun to speak into its log: its imports are done."""
    spoken = any(log.stat().st_size for log in project.folder.glob(f"results/**/logs/{rule}*.log"))
    return next((process for process, script in jobs_of(project).items() if script == rule and spoken), None)


def science(folder):
    """The bytes of every artefact of science below results/: no logs, benchmarks, figures."""
    files = sorted(path for path in (folder / "results").rglob("*") if path.suffix in {".npy", ".nc", ".safetensors", ".csv"})
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_equal_science(project, reference):
    found, expected = science(project.folder), science(reference.folder)
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []


def temporary(project):
    """Files that a killed writer left."""
    return [path.name for path in (project.folder / "results").rglob(".*") if path.suffix != ".sha256"]


@pytest.fixture
def guarded(fresh):
    """A fresh project whose processes are ended with the test."""
    yield fresh
    for process in jobs_of(fresh):
        os.kill(process, signal.SIGKILL)


def kill_some_jobs(project, running, rng, most):
    """Kill jobs of a running Snakemake at random moments, until it ends or `most` are killed; return their rules."""
    killed = []
    while running.poll() is None and len(killed) < most:
        time.sleep(rng.uniform(0.1, 2.5))
        jobs = jobs_of(project)
        if jobs:
            process = rng.choice(sorted(jobs))
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:  # it has just ended by itself
                continue
            killed.append(jobs[process])
    return killed


def test_jobs_killed_at_random_moments_leave_the_undisturbed_result(guarded, finished):
    """Every invocation loses some jobs for good and retries others; it is called again until the study is complete."""
    rng, killed, invocations = random.Random(0), [], 0
    while True:
        running = start(guarded, "--retries", "2", TARGET)
        invocations += 1
        killed += kill_some_jobs(guarded, running, rng, KILLS - len(killed))
        if running.wait(timeout=600) == 0 and len(killed) >= KILLS:
            break
        if running.returncode == 0:  # complete before its time: take something away
            (guarded.folder / rng.choice(sorted(science(guarded.folder)))).unlink()
        assert invocations < 15, words(guarded)[-3000:]
    print(f"{len(killed)} jobs killed in {invocations} invocations: {', '.join(killed)}")
    assert_equal_science(guarded, finished)
    assert temporary(guarded) == []


def test_killed_snakemake_leaves_a_lock_then_the_study_goes_on(guarded, finished):
    """Its jobs survive it. The next call is refused until --unlock, and leaves nothing half done."""
    rng = random.Random(1)
    for rule in ("train_model", "attribute", "flip"):
        running = start(guarded, TARGET)
        wait_for(lambda rule=rule, running=running: job_running(guarded, rule) or running.poll() is not None)
        time.sleep(rng.uniform(0, 1))
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        orphans = jobs_of(guarded)
        refused = guarded.snakemake("--cores", "2", TARGET)
        assert refused.returncode != 0
        assert "Directory cannot be locked" in refused.stdout + refused.stderr
        assert "Traceback" not in refused.stdout + refused.stderr
        print(f"Snakemake killed in {rule}: {len(orphans)} jobs survived it ({', '.join(orphans.values())})")
        assert guarded.snakemake("--unlock").returncode == 0
    again = guarded.snakemake("--cores", "2", TARGET)
    assert again.returncode == 0, again.stdout + again.stderr
    assert_equal_science(guarded, finished)


def test_orphan_does_not_overwrite_the_result_of_its_successor(guarded, finished):
    """The recipe is changed after Snakemake was killed: the old training ends later, and its result is dropped."""
    model = "results/digits/ce/seed0/model.safetensors"
    tiny = (guarded.folder / "tests/workflow/tiny.yaml").read_text()
    (guarded.folder / "slow.yaml").write_text(re.sub("epochs: 2,", "epochs: 60, validate_every: 60,", tiny, count=1))
    running = start(guarded, model, config="slow.yaml")
    orphan = wait_for(lambda: job_running(guarded, "train_model"))
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    os.kill(orphan, signal.SIGSTOP)  # as if it had hours to go
    guarded.snakemake("--unlock")
    assert guarded.snakemake("--cores", "2", model).returncode == 0
    os.kill(orphan, signal.SIGCONT)
    wait_for(lambda: orphan not in jobs_of(guarded))
    assert (guarded.folder / model).read_bytes() == (finished.folder / model).read_bytes()
    record = "results/digits/ce/seed0/training.json"
    assert (guarded.folder / record).read_bytes() == (finished.folder / record).read_bytes()
    assert temporary(guarded) == []
