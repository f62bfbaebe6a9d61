"""The local SLURM is its owner's alone: it stops what it started, and says in one line why it cannot start."""

import json
import subprocess

import cluster as module
import pytest
from cluster import Cluster, ClusterError, main, start_time, wait_until


@pytest.fixture
def sleeper():
    """A process that has nothing to do with SLURM."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def record(folder, process, begun):
    (folder / "daemons.json").write_text(json.dumps({"slurmd": (process.pid, begun)}))


def test_stop_ends_a_recorded_process(tmp_path, sleeper):
    record(tmp_path, sleeper, start_time(sleeper.pid))
    Cluster(tmp_path).stop()
    assert sleeper.wait(timeout=5) == -15


def test_stop_spares_a_process_that_got_the_number_of_a_recorded_one(tmp_path, sleeper):
    record(tmp_path, sleeper, start_time(sleeper.pid) - 1)
    Cluster(tmp_path).stop()
    assert sleeper.poll() is None


def test_missing_daemons_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SBIN", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="not installed: munged, slurmctld, slurmd, sbatch, srun"):
        Cluster(tmp_path).start()


def test_status_of_no_cluster_is_an_error(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 1
    assert "not running" in capsys.readouterr().err


@pytest.mark.slurm
def test_cluster_stops_for_good(cluster, tmp_path):
    """A second cluster beside the first: each has its own ports and state."""
    other = Cluster(tmp_path)
    other.start()
    pids = other.running().values()
    other.command("sbatch", "--output=/dev/null", "--wrap", "sleep 60")
    assert len(other.jobs("%A")) == 1
    assert cluster.jobs("%A") == []
    other.stop()
    assert wait_until(lambda: not any(map(start_time, pids)), 5)
    assert len(cluster.running()) == 3
