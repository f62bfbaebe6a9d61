"""A training job killed by the system goes on where it was when Snakemake is called again."""

import subprocess
import sys
import time

import psutil
import pytest
from project import TINY

pytestmark = pytest.mark.campaign

RUN = "results/digits/ce/seed0"
OUTPUTS = [f"{RUN}/{name}" for name in ("model.safetensors", "training.json", "history.csv")]
LONG = ("cross_entropy, epochs: 2", "cross_entropy, epochs: 60")


def job_of(snakemake, script):
    """The process that runs a script for Snakemake."""
    for child in snakemake.children(recursive=True):
        if any(part.endswith(f".{script}") for part in child.cmdline()):
            return child
    raise LookupError(script)


def test_killed_training_job_resumes_and_ends_as_if_undisturbed(fresh):
    config = fresh.folder / TINY
    config.write_text(config.read_text().replace(*LONG))
    arguments = ["--cores", "1", OUTPUTS[0], "--configfile", TINY]
    log, state = fresh.folder / RUN / "logs/train_model.log", fresh.folder / RUN / ".state/training.safetensors"

    started = subprocess.Popen([sys.executable, "-m", "snakemake", *arguments], cwd=fresh.folder)
    while not (log.exists() and "epoch 8 " in log.read_text()):
        assert started.poll() is None
        time.sleep(0.05)
    job_of(psutil.Process(started.pid), "train_model.py").kill()
    assert started.wait(timeout=120) != 0
    assert not any((fresh.folder / path).exists() for path in OUTPUTS)
    assert state.exists()

    again = fresh.snakemake(*arguments[:3])
    assert again.returncode == 0, again.stderr
    text = log.read_text()
    assert "resuming after epoch" in text
    assert [f"epoch {epoch} " in text for epoch in range(1, 61)] == [True] * 60
    assert not state.parent.exists()
    resumed = {path: (fresh.folder / path).read_bytes() for path in OUTPUTS}

    assert fresh.snakemake(*arguments[:3], "--force").returncode == 0
    assert "resuming" not in log.read_text()
    assert {path: (fresh.folder / path).read_bytes() for path in OUTPUTS} == resumed
