"""A SLURM of one node for the tests, and the options with which Snakemake talks to it."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from cluster import Cluster, ClusterError

PLUGIN = "snakemake_executor_plugin_slurm"


def absent(reason):
    """Skip, or fail where CLXAI_REQUIRE_SLURM says that SLURM must be there."""
    if os.environ.get("CLXAI_REQUIRE_SLURM"):
        pytest.fail(f"CLXAI_REQUIRE_SLURM is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster():
    """The cluster, with two processors and two GPUs that are none; skips where it cannot run."""
    if importlib.util.find_spec(PLUGIN) is None:
        absent(f"no SLURM executor: {PLUGIN} is not installed")
    folder = Path(tempfile.mkdtemp(prefix="clxai-slurm-"))  # short: the path of a socket has 107 characters at most
    cluster = Cluster(folder)
    try:
        try:
            cluster.start()
        except ClusterError as error:
            absent(f"no SLURM: {error}")
        yield cluster
        cluster.stop()
    finally:
        shutil.rmtree(folder)
