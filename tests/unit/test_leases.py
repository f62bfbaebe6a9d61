"""Never two jobs on one device, however they end; devices are those that CUDA would see."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pynvml
import pytest
from clxai.errors import ClxaiError
from clxai.runtime import leases
from clxai.runtime.leases import take_lease, visible_devices

LIBRARY = str(Path(leases.__file__).parents[2])
UUIDS = ("GPU-11aa", "GPU-22bb", "GPU-22cc")
JOB = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {library!r})
from clxai.runtime import leases
leases._uuids = lambda: []
leases._PAUSE = 0.02
os.setuid({user})
device = leases.take_lease("job {name}", Path({folder!r}))
assert os.environ["CUDA_VISIBLE_DEVICES"] == device
start = time.monotonic()
print("took", device, flush=True)
time.sleep({seconds})
print("used", device, start, time.monotonic(), flush=True)
"""


@pytest.fixture
def machine(monkeypatch):
    """A machine with the devices named: none leased, and this process leases none when the test is over."""

    def of(*uuids, visible=None):
        monkeypatch.setattr(leases, "_uuids", lambda: list(uuids))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.delenv("SLURM_JOB_ID", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    yield of
    leases.release()


@pytest.fixture
def job(tmp_path):
    """Start a process that leases one of devices 0 and 1, holds it for some seconds and says so; ended after the test."""
    started = []

    def start(name, seconds, folder=tmp_path / "leases", user=None):
        user = os.getuid() if user is None else user
        code = JOB.format(library=LIBRARY, name=name, folder=str(folder), seconds=seconds, user=user)
        environment = {"CUDA_VISIBLE_DEVICES": "0,1", "PATH": os.environ["PATH"]}
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def first_line(process):
    return process.stdout.readline().strip()


def test_six_jobs_on_two_devices_never_share_one(job):
    outputs = [process.communicate(timeout=60)[0] for process in [job(number, 0.3) for number in range(6)]]
    used = [re.search(r"used (\d) (\S+) (\S+)", output).groups() for output in outputs]
    for device in ("0", "1"):
        times = sorted((float(start), float(end)) for name, start, end in used if name == device)
        assert len(times) >= 1
        assert all(before[1] <= after[0] for before, after in pairwise(times))
    assert len(used) == 6
    assert any("waiting for a GPU: " in output for output in outputs)


def test_device_of_a_killed_job_is_leased_again(job):
    holders = [job("first", 600), job("second", 600)]
    devices = [first_line(process).removeprefix("took ") for process in holders]
    assert sorted(devices) == ["0", "1"]
    waiting = job("third", 0.1)
    said = first_line(waiting)
    assert said.startswith("waiting for a GPU: 0 is held by process ")
    assert [str(process.pid) in said for process in holders] == [True, True]
    assert "job first" in said and "job second" in said
    time.sleep(0.2)
    assert waiting.poll() is None
    holders[0].kill()
    output, _ = waiting.communicate(timeout=30)
    assert f"leased GPU {devices[0]} after " in output
    assert holders[1].poll() is None


def test_programs_and_forks_of_a_job_do_not_hold_its_lease(machine, tmp_path):
    """They may outlive it, as orphans do."""
    machine("GPU-11aa")
    take_lease("a", tmp_path)
    program = subprocess.Popen(["sleep", "60"], close_fds=False)
    fork = os.fork()
    if fork == 0:
        time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
    try:
        leases.release()
        assert leases._try_lock(tmp_path / "GPU-11aa.lock", "b") is not None
    finally:
        program.kill()
        program.wait()
        os.kill(fork, 9)
        os.waitpid(fork, 0)


def test_lease_leaves_one_device_visible_and_a_second_call_the_same(machine, tmp_path):
    machine(*UUIDS)
    assert take_lease("a", tmp_path) == "GPU-11aa"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-11aa"
    assert take_lease("a", tmp_path) == "GPU-11aa"
    assert [path.name for path in tmp_path.iterdir()] == ["GPU-11aa.lock"]


def test_released_device_is_free_again(machine, tmp_path):
    machine("GPU-11aa")
    take_lease("a", tmp_path)
    leases.release()
    assert take_lease("b", tmp_path) == "GPU-11aa"
    assert f"process {os.getpid()} of " in (tmp_path / "GPU-11aa.lock").read_text()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, UUIDS),
        ("", ()),
        ("-1", ()),
        ("1", UUIDS[1:2]),
        ("2, 0", (UUIDS[2], UUIDS[0])),
        ("1,-1,0", UUIDS[1:2]),
        ("0,3,1", UUIDS[:1]),
        ("0,0", ()),
        ("1,GPU-22bb", ()),
        ("GPU-22bb", UUIDS[1:2]),
        ("GPU-1", UUIDS[:1]),
        ("GPU-22", ()),
        ("GPU-99", ()),
        ("MIG-33/1/0", ("MIG-33/1/0",)),
        ("none", ()),
    ],
)
def test_visible_devices_are_those_of_cuda(machine, visible, expected):
    machine(*UUIDS, visible=visible)
    assert visible_devices() == list(expected)


@pytest.mark.parametrize(("visible", "expected"), [(None, []), ("0,2", ["0", "2"]), ("GPU-11aa", ["GPU-11aa"]), ("-1", [])])
def test_devices_go_by_their_given_names_without_nvml(machine, visible, expected):
    machine(visible=visible)
    assert visible_devices() == expected


def test_part_of_a_device_has_a_lock_of_its_own(machine, tmp_path):
    machine(*UUIDS, visible="MIG-33/1/0")
    assert take_lease("a", tmp_path) == "MIG-33/1/0"
    assert [path.name for path in tmp_path.iterdir()] == ["MIG-33_1_0.lock"]


@pytest.mark.parametrize(("uuids", "slurm"), [(UUIDS, "17"), ((), None)], ids=["slurm", "no device"])
def test_nothing_is_leased_under_slurm_or_without_a_device(machine, monkeypatch, tmp_path, uuids, slurm):
    machine(*uuids)
    if slurm:
        monkeypatch.setenv("SLURM_JOB_ID", slurm)
    assert take_lease("a", tmp_path / "leases") is None
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert not (tmp_path / "leases").exists()


def test_lock_file_deleted_by_a_cleaner_does_not_make_two_leases(machine, tmp_path, monkeypatch):
    """Between opening and locking somebody deletes the file and locks a new one of that name."""
    machine("GPU-11aa")
    file, whole = tmp_path / "GPU-11aa.lock", leases._open

    def deleted(path):
        handle = whole(path)
        file.unlink()
        return handle

    monkeypatch.setattr(leases, "_open", deleted)
    assert leases._try_lock(file, "a") is None


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_folder_and_files_are_open_to_all_users_whatever_the_umask(machine, tmp_path, umask):
    machine("GPU-11aa")
    before = os.umask(umask)
    try:
        take_lease("a", tmp_path / "leases")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "leases").stat().st_mode) == 0o1777
    assert stat.S_IMODE((tmp_path / "leases" / "GPU-11aa.lock").stat().st_mode) == 0o666


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of two users")
def test_two_users_never_share_a_device(job):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder.chmod(0o755)
        holders = [job(name, 600, folder / "leases", user=user) for name, user in (("first", 0), ("second", 0))]
        assert sorted(map(first_line, holders)) == ["took 0", "took 1"]
        waiting = job("third", 0.1, folder / "leases", user=65534)
        assert "of root: job first" in first_line(waiting)
        holders[0].kill()
        assert "used" in waiting.communicate(timeout=30)[0]
    finally:
        shutil.rmtree(folder)


def test_folder_that_cannot_be_used_is_named(machine, tmp_path):
    machine("GPU-11aa")
    (tmp_path / "leases").write_text("")
    with pytest.raises(ClxaiError, match=r"leases/GPU-11aa\.lock: cannot be locked to lease a GPU \(Not a directory\)"):
        take_lease("a", tmp_path / "leases")


def test_words_of_a_lock_file_are_shown_on_one_line(tmp_path):
    (tmp_path / "a").write_bytes(b"process 1\nof\x1b[31m \xff" + b"x" * 1000)
    assert re.fullmatch(r"process 1\?of\?\[31m .x{200,300}", leases._holder(tmp_path / "a"))
    assert leases._holder(tmp_path / "absent") == "an unknown process"


@pytest.fixture
def nvml(monkeypatch):
    """NVML with three devices, of which this user may not use the second; returns how often it was started and ended."""
    calls = []

    def handle(number):
        if number == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return 100 + number

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: calls.append("init"))
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 3)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", "GPU-{}".format)
    return calls


def test_uuids_come_from_nvml(nvml):
    assert leases._uuids() == ["GPU-100", "GPU-102"]
    assert nvml == ["init", "shutdown"]


@pytest.mark.parametrize(("call", "started"), [("nvmlInit", []), ("nvmlDeviceGetCount", ["init", "shutdown"])])
def test_machine_whose_driver_is_absent_or_fails_has_no_devices(nvml, monkeypatch, call, started):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, call, missing)
    assert leases._uuids() == []
    assert nvml == started
