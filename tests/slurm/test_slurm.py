"""The study through a real SLURM: the same tables, what is asked for, and jobs that end before they are done."""

import re
from collections import defaultdict

import pytest
import yaml
from cluster import wait_until
from project import ROOT, TINY, copy_project

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("finished")]  # one tiny study serves all

OPTIONS = (
    *("--workflow-profile", "profiles/slurm"),
    *("--slurm-status-command", "squeue"),  # there is no accounting
    *("--slurm-init-seconds-before-status-checks", "2"),
    *("--latency-wait", "5"),
    *("--set-threads", "train_model=1"),  # the node has two processors
)
ASKED = {  # GPU, memory, time limit of every rule that leaves the login node
    "train_model": ("gres:gpu:1", "4000M", "12:00:00"),
    "embed_images": ("gres:gpu:1", "4000M", "02:00:00"),
    "fit_heads": (None, "4000M", "04:00:00"),
    "fit_heads_without_classifier": (None, "4000M", "04:00:00"),
    "attribute": ("gres:gpu:1", "4000M", "04:00:00"),
    "flip": ("gres:gpu:1", "4000M", "04:00:00"),
    "summarise": (None, "4000M", "02:00:00"),
    "assess_trust": (None, "4000M", "02:00:00"),
    "check_study": (None, "4000M", "01:00:00"),
}
FAULTS = {  # model: its loss, and what happens to its training
    "hangs": ("cross_entropy", ("scancel", "--signal=STOP")),  # stands still until its time limit
    "cancelled": ("supcon", ("scancel",)),
    "requeued": ("triplet", ("scontrol", "requeue")),  # as after pre-emption or the loss of a node
}
RECIPE = {"epochs": 150, "network_options": {"width": 4}, "batch_size": 40, "warmup_epochs": 0, "validate_every": 5}


def jobs_of(cluster, folder):
    """What SLURM knows of the jobs of a project: a list of records by rule and wildcards, in the order of submission."""
    jobs = defaultdict(list)
    for line in cluster.command("scontrol", "show", "job", "--oneliner").splitlines():
        record = dict(re.findall(r"(\S+?)=(\S*)", line))
        if record.get("WorkDir") == str(folder):
            jobs[record["Comment"].removeprefix("rule_")].append(record)
    return {name: sorted(records, key=lambda record: int(record["JobId"])) for name, records in jobs.items()}


def contents(folder, pattern):
    """The bytes of the files that match, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob(pattern))}


@pytest.fixture(scope="module")
def through_slurm(cluster, tmp_path_factory):
    """The project with the tables of the tiny study made through SLURM: figures never leave the login node."""
    project = copy_project(tmp_path_factory.mktemp("slurm"), cluster.environment)
    process = project.snakemake("tables_all", *OPTIONS)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    return project


@pytest.mark.campaign
def test_tables_equal_those_of_a_plain_run(through_slurm, finished):
    pattern = "results/studies/tiny/digits/tables/*.csv"
    plain = contents(finished.folder, pattern)
    ranks = [name for name in plain if name.endswith("metric_ranks.csv")]  # are made of the tables, for the pages
    assert len(plain) == 15 + len(ranks) and ranks
    assert contents(through_slurm.folder, pattern) == {name: found for name, found in plain.items() if name not in ranks}


@pytest.mark.campaign
def test_jobs_ask_for_gpu_memory_and_time(through_slurm, cluster):
    """Rules that are not named here ran beside Snakemake."""
    asked = {
        re.sub("_wildcards.*", "", name): (record.get("TresPerJob"), record["MinMemoryNode"], record["TimeLimit"])
        for name, records in jobs_of(cluster, through_slurm.folder).items()
        for record in records
    }
    assert asked == ASKED


@pytest.mark.campaign
def test_logs_of_slurm_are_kept_for_failed_jobs_alone(through_slurm):
    assert list((through_slurm.folder / ".snakemake").glob("slurm_logs/**/*.log")) == []


@pytest.mark.campaign
@pytest.mark.parametrize("profile", ["default", "workstation", "slurm"])
def test_study_finished_by_slurm_has_nothing_to_do(through_slurm, profile):
    assert through_slurm.planned("tables_all", "--workflow-profile", f"profiles/{profile}") == {}


@pytest.mark.campaign
def test_cluster_that_wants_gres_gets_gres(cluster, tmp_path):
    """The lines of profiles/README.md, as a site's own profile beside profiles/slurm."""
    (lines,) = re.findall(r"```yaml\n(set-resources:.*?)```", (ROOT / "profiles" / "README.md").read_text(), flags=re.DOTALL)
    project = copy_project(tmp_path, cluster.environment)
    (project.folder / "site").mkdir()
    (project.folder / "site" / "profile.yaml").write_text(lines)
    target = "results/digits/ce/seed0/model.safetensors"
    process = project.snakemake(*OPTIONS, "--profile", "site", target)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    (record,) = training(cluster, project, "ce")
    assert (record.get("TresPerNode"), record.get("TresPerJob")) == ("gres:gpu:1", None)


def write_faulty_config(project):
    """The tiny study with one longer training for every fault."""
    config = yaml.safe_load((project.folder / TINY).read_text())
    config["study"]["models"] = list(FAULTS)
    config["models"] = {name: {"loss": loss, **RECIPE} for name, (loss, _) in FAULTS.items()}
    (project.folder / "faulty.yaml").write_text(yaml.safe_dump(config))


def strike(cluster, project, process):
    """Wait for every training to be well on its way, and let its fault happen."""
    waiting = dict(FAULTS)

    def trains(name):
        log = project.folder / f"results/digits/{name}/seed0/logs/train_model.log"
        return log.exists() and "epoch 5 " in log.read_text()

    while waiting:
        assert wait_until(lambda: any(map(trains, waiting)) or process.poll() is not None, 120), f"no training of {set(waiting)}"
        assert process.poll() is None, (project.folder / "output.txt").read_text()[-4000:]
        for name in filter(trains, tuple(waiting)):
            _, command = waiting.pop(name)
            cluster.command(*command, training(cluster, project, name)[-1]["JobId"])


def training(cluster, project, name):
    """The SLURM jobs that trained a model."""
    return jobs_of(cluster, project.folder)[f"train_model_wildcards_digits_{name}_0"]


@pytest.mark.campaign
def test_stopped_training_finishes_from_its_checkpoint(cluster, tmp_path):
    """One training hangs until its time limit, one is cancelled, one goes back into the queue; all end as in a quiet run.

    The first two are submitted again by Snakemake, the third is started again by SLURM as the same job.
    """
    plain, project = copy_project(tmp_path / "plain"), copy_project(tmp_path / "slurm", cluster.environment)
    for one in (plain, project):
        write_faulty_config(one)
    limit = ("--set-resources", "train_model:runtime=1", "--retries", "5")
    with project.started("models_all", *OPTIONS, *limit, config="faulty.yaml") as process:
        strike(cluster, project, process)
        assert process.wait(timeout=300) == 0, (project.folder / "output.txt").read_text()[-4000:]

    attempts = {name: training(cluster, project, name) for name in FAULTS}
    assert attempts["hangs"][0]["JobState"] == "TIMEOUT"
    assert attempts["cancelled"][0]["JobState"] == "CANCELLED"
    assert attempts["requeued"][0]["Restarts"] == "1"
    assert {jobs[-1]["JobState"] for jobs in attempts.values()} == {"COMPLETED"}
    failed = {job["JobId"] for jobs in attempts.values() for job in jobs if job["JobState"] != "COMPLETED"}
    assert {log.stem for log in (project.folder / ".snakemake/slurm_logs").rglob("*.log")} == failed
    for name in FAULTS:
        log = (project.folder / f"results/digits/{name}/seed0/logs/train_model.log").read_text()
        assert int(re.search(r"resuming after epoch (\d+)", log)[1]) > 0

    assert plain.snakemake("--cores", "2", "models_all", config="faulty.yaml").returncode == 0
    for pattern in ("results/digits/*/seed0/*.*", "results/digits/*/seed0/.state/*"):
        assert contents(project.folder, pattern) == contents(plain.folder, pattern)
    assert len(contents(plain.folder, "results/digits/*/seed0/model.safetensors")) == len(FAULTS)
