"""The fault campaign: what a busy machine does to a study, and what becomes of it. Run by `make campaign`; the figures are in
docs/reliability.md.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from clxai.commands.slice import LEFT
from clxai.runtime.artefacts import read_tensors
from project import TINY, science

pytestmark = [pytest.mark.campaign, pytest.mark.xdist_group("finished")]

KILLS = 21
KILLS_PER_RULE = 4  # so that the first jobs do not get them all
TARGET = "verdict_all"  # all tables, the ranks of the methods that its page shows among them
MODEL = "results/digits/ce/seed0/model.safetensors"
CURVES = "results/digits/ce/seed0/curves/evaluation/grid/random.nc"


def start(project, *arguments, config=TINY):
    """Start Snakemake in the background, its words into a file, in a session of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", config]
    with (project.folder / "snakemake.txt").open("ab") as words:
        return subprocess.Popen(command, cwd=project.folder, stdout=words, stderr=words, start_new_session=True)


def start_slice(project, minutes):
    """Start a slice in the background, in a session of its own."""
    command = [sys.executable, "-m", "clxai.commands.main", "slice", "--minutes", str(minutes), "--cores", "2"]
    environment = {**os.environ, "PYTHONPATH": str(project.folder / "workflow" / "scripts")}
    with (project.folder / "snakemake.txt").open("ab") as said:
        place = {"cwd": project.folder, "env": environment, "stdout": said, "stderr": said, "start_new_session": True}
        return subprocess.Popen([*command, "--target", TARGET, TINY], **place)


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
    """A process of this rule that has begun to speak into its log."""
    logs = [log for pattern in (f"{rule}*.log", f"{rule}/**/*.log") for log in project.folder.glob(f"results/**/logs/{pattern}")]
    spoken = any(log.stat().st_size for log in logs)
    return next((process for process, script in jobs_of(project).items() if script == rule and spoken), None)


def assert_equal_science(project, reference):
    found, expected = science(project.folder), science(reference.folder)
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []


def marks(project):
    """What Snakemake keeps of jobs that did not end, and its locks."""
    places = ("incomplete", "locks")
    return [file.name for place in places for file in (project.folder / ".snakemake" / place).rglob("*") if file.is_file()]


def temporary(project):
    """Files that a killed writer left; what Snakemake puts into folders that are outputs is none."""
    return [path.name for path in (project.folder / "results").rglob(".*") if path.name != ".snakemake_timestamp"]


def said(process):
    """All that a finished process has said."""
    return process.stdout + process.stderr


def succeeds(project, *targets):
    """Run the tiny study to these targets."""
    process = project.snakemake("--cores", "2", *targets)
    assert process.returncode == 0, said(process)[-4000:]


def tiny_with(project, old, new):
    """The config of the tiny study with a first occurrence replaced."""
    return (project.folder / TINY).read_text().replace(old, new, 1)


@contextmanager
def mounted(folder, *arguments):
    """Mount something over a folder; skip where that is not allowed."""
    mount = subprocess.run(["mount", *arguments, folder], capture_output=True, text=True, check=False)
    if mount.returncode:
        pytest.skip(f"cannot mount: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder):
    """Make a folder read-only: by a mount for root, whom permissions do not stop, else by permissions."""
    if os.geteuid() == 0:
        with mounted(folder, "--bind", folder):
            subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
            yield
        return
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    try:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode & 0o555)
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@pytest.fixture
def guarded(fresh):
    """A fresh project whose processes are ended with the test."""
    yield fresh
    for process in jobs_of(fresh):
        os.kill(process, signal.SIGKILL)


def kill_some_jobs(project, running, rng, killed):
    """Kill jobs of a running Snakemake at random moments, until it ends or enough are killed; add their rules to `killed`."""
    while running.poll() is None and len(killed) < KILLS:
        time.sleep(rng.uniform(0.1, 2.5))
        jobs = {process: rule for process, rule in jobs_of(project).items() if killed.count(rule) < KILLS_PER_RULE}
        if jobs:
            process = rng.choice(sorted(jobs))
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:  # it has just ended by itself
                continue
            killed.append(jobs[process])


def test_jobs_killed_at_random_moments_leave_the_undisturbed_result(guarded, finished):
    """Every invocation loses some jobs for good and retries others; it is called again until the study is complete."""
    rng, killed, invocations = random.Random(0), [], 0
    while True:
        running = start(guarded, "--retries", "2", TARGET)
        invocations += 1
        kill_some_jobs(guarded, running, rng, killed)
        if running.wait(timeout=600) == 0 and len(killed) >= KILLS:
            break
        if running.returncode == 0:  # complete before its time: take something away
            (guarded.folder / rng.choice(sorted(science(guarded.folder)))).unlink()
        assert invocations < 15, words(guarded)[-3000:]
    counts = ", ".join(f"{killed.count(rule)} {rule}" for rule in dict.fromkeys(killed))
    print(f"{len(killed)} jobs killed in {invocations} invocations: {counts}")
    assert_equal_science(guarded, finished)
    assert temporary(guarded) == []


def test_slices_killed_at_random_moments_leave_the_undisturbed_result(guarded, finished):
    """Five are killed, by turns with their jobs and without these, then slices follow until one says that nothing is left."""
    rng, statuses = random.Random(2), []
    for number in range(5):
        said = len(words(guarded)) if number else 0
        running = start_slice(guarded, minutes=10)
        wait_for(lambda running=running, said=said: running.poll() is not None or "Execute" in words(guarded)[said:], seconds=300)
        time.sleep(rng.uniform(0, 8))
        (os.killpg if number % 2 == 0 else os.kill)(running.pid, signal.SIGKILL)
        running.wait()
    while not statuses or statuses[-1] == LEFT:
        statuses.append(start_slice(guarded, minutes=1.5).wait(timeout=300))
        assert len(statuses) < 30, words(guarded)[-3000:]
    print(f"5 slices killed; of the others {len(statuses) - 1} ended with work left, the last one with {statuses[-1]}")
    assert statuses[-1] == 0, words(guarded)[-3000:]
    assert words(guarded).count("the last slice here was killed: its lock is removed") == 5
    assert_equal_science(guarded, finished)
    assert temporary(guarded) == [] and marks(guarded) == []


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
        assert "Directory cannot be locked" in said(refused) and "Traceback" not in said(refused)
        print(f"Snakemake killed in {rule}: {len(orphans)} jobs survived it ({', '.join(orphans.values())})")
        assert guarded.snakemake("--unlock").returncode == 0
    succeeds(guarded, TARGET)
    assert_equal_science(guarded, finished)


def test_orphan_does_not_overwrite_the_result_of_its_successor(guarded, finished):
    """The recipe is changed after Snakemake was killed: the old training ends later, and its result is dropped."""
    (guarded.folder / "slow.yaml").write_text(tiny_with(guarded, "epochs: 2,", "epochs: 60, validate_every: 60,"))
    running = start(guarded, MODEL, config="slow.yaml")
    orphan = wait_for(lambda: job_running(guarded, "train_model"))
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    os.kill(orphan, signal.SIGSTOP)  # as if it had hours to go
    guarded.snakemake("--unlock")
    succeeds(guarded, MODEL)
    os.kill(orphan, signal.SIGCONT)
    wait_for(lambda: orphan not in jobs_of(guarded))
    for name in (MODEL, "results/digits/ce/seed0/training.json"):
        assert (guarded.folder / name).read_bytes() == (finished.folder / name).read_bytes()
    assert temporary(guarded) == []


def test_second_snakemake_in_the_folder_is_refused_and_harms_nothing(guarded, finished):
    running = start(guarded, CURVES)
    wait_for(lambda: jobs_of(guarded))
    second = guarded.snakemake("--cores", "2", CURVES)
    assert second.returncode != 0
    assert "Directory cannot be locked" in said(second) and "Traceback" not in said(second)
    assert running.wait(timeout=300) == 0, words(guarded)
    assert (guarded.folder / CURVES).read_bytes() == (finished.folder / CURVES).read_bytes()


def test_config_edited_while_running_is_used_by_the_next_call_alone(guarded, finished):
    """Params come from the process that planned: what is recorded is what was used, and the edit is noticed afterwards."""
    (guarded.folder / "edited.yaml").write_text(tiny_with(guarded, "", ""))
    running = start(guarded, CURVES, config="edited.yaml")
    wait_for(lambda: jobs_of(guarded))
    (guarded.folder / "edited.yaml").write_text(tiny_with(guarded, "bank_k: 3", "bank_k: 7"))
    assert running.wait(timeout=300) == 0, words(guarded)
    assert (guarded.folder / CURVES).read_bytes() == (finished.folder / CURVES).read_bytes()
    assert guarded.planned(CURVES, config="edited.yaml") == {"flip": 1}
    assert guarded.planned(CURVES) == {}


def test_module_edited_while_a_job_uses_it_fails_the_job_and_the_next_call_runs_it(guarded, finished):
    """Snakemake would record the edited module as that of the result."""
    (guarded.folder / "slow.yaml").write_text(tiny_with(guarded, "epochs: 2,", "epochs: 60, validate_every: 60,"))
    losses = "workflow/scripts/clxai/losses/base.py"
    running = start(guarded, MODEL, config="slow.yaml")
    training = wait_for(lambda: job_running(guarded, "train_model"))
    os.kill(training, signal.SIGSTOP)
    with guarded.edited(losses, lambda text: text + "\n# edited\n"):
        os.kill(training, signal.SIGCONT)
        assert running.wait(timeout=300) != 0
        assert "losses/base.py was edited while this job ran" in words(guarded)
        assert not (guarded.folder / MODEL).exists()
        assert guarded.planned(MODEL) == {"train_model": 1}
    succeeds(guarded, MODEL)
    assert (guarded.folder / MODEL).read_bytes() == (finished.folder / MODEL).read_bytes()


def test_module_edited_between_its_jobs_reruns_those_that_were_done(guarded):
    """`embeddings` is used by the training that is done and by the embedding that comes later."""
    running = start(guarded, CURVES)
    wait_for(lambda: job_running(guarded, "embed_images"))
    with guarded.edited("workflow/scripts/clxai/networks/embeddings.py", lambda text: text + "\n# edited\n"):
        running.wait(timeout=300)
        assert "edited while this run of Snakemake went on: workflow/scripts/clxai/networks/embeddings.py" in words(guarded)
        assert guarded.planned(CURVES)["train_model"] == 1


def test_module_edited_in_the_moment_in_which_a_job_ends_is_reported(guarded):
    """Between its last output and its end: Snakemake takes the edited module for that of the result, and is corrected."""
    running = start(guarded, MODEL)
    wait_for(lambda: (guarded.folder / MODEL).exists())
    with guarded.edited("workflow/scripts/clxai/losses/base.py", lambda text: text + "\n# edited\n"):
        running.wait(timeout=300)
        assert "edited while this run of Snakemake went on: workflow/scripts/clxai/losses/base.py" in words(guarded)


@pytest.mark.parametrize("limit_kb", [20, 200])
def test_disk_full_fails_with_a_clear_line_and_the_study_goes_on_with_more_room(guarded, finished, limit_kb):
    """A file system of some kilobytes under results/: it runs full in the data, in the models or later."""
    with mounted(guarded.folder / "results", "-t", "tmpfs", "-o", f"size={limit_kb}k", "tmpfs"):
        process = guarded.snakemake("--cores", "2", CURVES)
        assert process.returncode != 0
        reasons = set(re.findall(r"ClxaiError: (results/\S+: cannot be written \(No space left on device\))", said(process)))
        assert reasons, said(process)[-4000:]
        print(f"{limit_kb} kB: {'; '.join(sorted(reasons))}")
        assert_readable_prefix(guarded, finished)
        subprocess.run(["mount", "-o", "remount,size=100m", guarded.folder / "results"], check=True)
        succeeds(guarded, CURVES)
        assert_readable_prefix(guarded, finished)
        assert (guarded.folder / CURVES).exists()


def assert_readable_prefix(project, reference):
    """What is there after a failure is whole."""
    expected = science(reference.folder)
    for name, content in science(project.folder).items():
        assert content == expected[name], name


def test_size_limit_of_the_process_is_a_full_disk(guarded, finished):
    """RLIMIT_FSIZE, as batch systems set it: no root needed."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))"
    script = guarded.folder / "limited.py"
    script.write_text(f"import runpy\n{limit}\nrunpy.run_module('snakemake', run_name='__main__')\n")
    command = [sys.executable, str(script), "--cores", "1", MODEL, "--configfile", TINY]
    process = subprocess.run(command, cwd=guarded.folder, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode != 0
    assert "images.npy: cannot be written (File too large)" in said(process)
    assert science(guarded.folder) == {}
    succeeds(guarded, MODEL)
    assert (guarded.folder / MODEL).read_bytes() == (finished.folder / MODEL).read_bytes()


@pytest.fixture
def moved(finished, tmp_path):
    """The finished project in another place: copied as `cp -a` does, with Snakemake's records."""
    shutil.copytree(finished.folder, tmp_path / "moved", symlinks=True)
    return type(finished)(tmp_path / "moved")


def test_moved_project_reruns_nothing_and_stays_readable(moved, finished):
    assert moved.planned() == {}
    assert_equal_science(moved, finished)
    (moved.folder / "results/studies/tiny/digits/tables/checks.csv").unlink()
    succeeds(moved)  # reads tables and attributions where they are now
    assert_equal_science(moved, finished)


def test_results_moved_without_the_records_are_taken_over_by_touch(moved):
    shutil.rmtree(moved.folder / ".snakemake")
    for file in (moved.folder / "workflow").rglob("*.py"):
        os.utime(file)
    assert moved.planned()
    assert moved.snakemake("--cores", "1", "--touch").returncode == 0
    assert moved.planned() == {}


def test_read_only_results_are_planned_and_refused_before_anything_is_harmed(moved, finished):
    with read_only(moved.folder / "results"):
        assert moved.planned() == {}
        process = moved.snakemake("--cores", "1", "--forcerun", "summarise")
        assert process.returncode != 0
        assert "Write-protected output files" in said(process) and "Traceback" not in said(process)
    assert_equal_science(moved, finished)
    assert moved.planned() == {}


def test_loss_that_is_not_finite_stops_with_its_epoch_and_keeps_the_last_good_state(guarded):
    """With this learning rate the first epoch is the only good one."""
    recipe = "epochs: 6, learning_rate: 1.0e+4, warmup_epochs: 5, schedule: constant,"
    (guarded.folder / "nan.yaml").write_text(tiny_with(guarded, "epochs: 2,", recipe).replace(", warmup_epochs: 0", "", 1))
    process = guarded.snakemake("--cores", "1", MODEL, config="nan.yaml")
    assert process.returncode != 0
    found = re.search(r"ClxaiError: (the loss is nan in epoch 2 of 6: .*the state after epoch 1 is kept in (\S+))", said(process))
    assert found, said(process)[-3000:]
    print(found.group(1))
    tensors, _ = read_tensors(guarded.folder / found.group(2))
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
    assert not (guarded.folder / MODEL).exists()
