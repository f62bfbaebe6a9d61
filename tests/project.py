"""The filled default config, a copy of the project in which a tiny study has run, and a way to call Snakemake in it."""

import copy
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import snakemake_forks
import yaml

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
TINY = "tests/workflow/tiny.yaml"
MISSING = object()
PLAIN_METHODS = ["random", "saliency", "integrated_gradients", "grad_cam", "grad_cam_pp", "lrp"]
# Jobs of the tiny study after its checks, after its trust measures, and after its curves.
AFTER_CHECKS = {"check_study": 1, "state_verdict": 1, "plot_figure": 11, "plot_figure_of_model": 6, "build_explorer": 1}
AFTER_TRUST = {"assess_trust": 1, "state_verdict": 1, "plot_figure": 1}
AFTER_CURVES = {
    "summarise": 1,
    "assess_trust": 1,
    "rank_methods": 1,
    "rank_metrics": 1,
    "describe_results": 1,
    "describe_methods": 1,
    **AFTER_CHECKS,
}
PARTS = ("Snakefile", "rules", "workflow", "config", "envs", "profiles", "results/README.md", "tests/workflow/tiny.yaml")


def filled_config(**changes):
    """The default recipes in a plain study, schema defaults filled in; `changes` replaces whole sections.

    Three models, six methods without aliases, one fill, no declared contrasts: what the default study shows is free to change.
    """
    return pickle.loads(_filled(pickle.dumps(changes)))


@cache
def _filled(changes):
    """The same as bytes, once for each set of changes: a thousand tests ask for a config of their own."""
    from snakemake.utils import validate

    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    config["study"] |= {"models": ["ce", "supcon", "ce_matched"], "methods": list(PLAIN_METHODS)}
    config["flipping"]["fills"] = ["mean"]
    del config["methods"]["ig_other_loss"], config["models"]["ce_finetuned"], config["statistics"]
    config.update(pickle.loads(changes))
    validate(config, str(ROOT / "workflow" / "schemas" / "config.schema.yaml"))
    return pickle.dumps(config)


def check(config):
    """Check a filled config as the workflow does before any job."""
    from clxai.planning.config import check_schema, check_values

    check_schema(config, SCHEMA)
    check_values(config)


def changed(config, changes):
    """A copy of a config or recipe with other values at `a.b.c` paths; MISSING removes a key."""
    config = copy.deepcopy(config)
    for path, value in changes.items():
        *folders, last = path.split(".")
        section = config
        for folder in folders:
            section = section.setdefault(folder, {})
        if value is MISSING:
            del section[last]
        else:
            section[last] = copy.deepcopy(value)
    return config


def leaves(schema, path=()):
    """Every key below a schema: its path, `*` for the name of an entry, its own schema, and whether it is required."""
    for key, entry in schema.get("properties", {}).items():
        yield (*path, key), entry, key in schema.get("required", ())
        yield from leaves(entry, (*path, key))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from leaves(schema["additionalProperties"], (*path, "*"))


def row_of(table, **where):
    """The one row of a table with these values."""
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def problem_of(run, name, seed=0):
    """The images of a run as one batch to explain by a head, without a baseline."""
    from clxai.attribution.base import Problem

    head = run.heads[name]
    frozen, target = head.freeze(run.embeddings), head.predict(run.embeddings)
    return Problem(run.encoder, run.checkpoint, head, frozen, run.images, run.index, target, None, seed)


def installed_methods():
    """The declared methods but those whose optional package is not there."""
    from importlib.util import find_spec

    from clxai.registry import declared

    packages = {name: entry.semantics["package"] for name, entry in declared("methods").items()}
    return {name: declared("methods")[name] for name, package in packages.items() if package is None or find_spec(package)}


def marked(run):
    """A run whose images have evidence of two parts: a corner of 3 x 2 px and one pixel."""
    evidence = np.zeros((len(run.data.images), *run.data.images.shape[2:]), np.uint8)
    evidence[:, :3, :2], evidence[:, 9, 9] = 1, 2
    return replace(run, data=replace(run.data, evidence=evidence))


def flat_encoder(architecture):
    """An encoder whose embedding is the flattened normalised image."""
    from clxai.networks.inference import Encoder
    from clxai.networks.models import Normalised
    from torch import nn

    encoder = Encoder.__new__(Encoder)
    Normalised.__init__(encoder, architecture, nn.Flatten())
    return encoder


def affine_problem():
    """Three images of two classes with logits that are affine in the input, a baseline, and the slope of the log-odds."""
    import torch
    from clxai.attribution.base import Problem
    from clxai.heads.affine import Softmax
    from clxai.networks.architecture import Architecture

    torch.manual_seed(0)
    encoder = flat_encoder(Architecture("cnn", {}, (16, 16), (0.3,) * 2, (0.5,) * 2, 2, "projection"))
    head = Softmax({"weight": torch.randn(2, 512), "bias": torch.randn(2)})
    images = torch.rand(3, 2, 16, 16)
    embeddings = encoder(images)
    target = head.predict(embeddings)
    baseline = encoder.normalise(torch.rand(3, 2, 16, 16))
    slope = torch.stack([head.weight[c] - head.weight[1 - c] for c in target]).reshape(3, 2, 16, 16)
    return Problem(encoder, "none", head, head.freeze(embeddings), images, torch.arange(3), target, baseline, 0), slope


def replaced(*pairs):
    """An edit of a text: each first string, which must be there, becomes the second."""

    def change(text):
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        return text

    return change


def grid(height, width=None):
    """Units as a job of flipping is told to use them: a grid of squares, or of rectangles."""
    return {"name": "grid", "units": "grid", "options": {"height": height, "width": width or height}}


@dataclass(frozen=True)
class Project:
    """A copy of the project to run Snakemake in."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def snakemake(self, *arguments, config=TINY):
        """Run Snakemake with a config file and return the finished process with its output.

        In a process of its own where PYTHONPATH is another, which counts from the start of Python alone.
        """
        if "PYTHONPATH" not in self.environment:
            return snakemake_forks.call(self._arguments(arguments, config), self.folder, self._place()["env"])
        return subprocess.run(self._command(arguments, config), **self._place(), capture_output=True, timeout=1200, check=False)

    @contextmanager
    def started(self, *arguments, config=TINY):
        """Start Snakemake with a config file, its output in `output.txt`; it is interrupted at the end if it still runs."""
        with (self.folder / "output.txt").open("w") as output:
            process = subprocess.Popen(self._command(arguments, config), **self._place(), stdout=output, stderr=output)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(timeout=60)

    def _command(self, arguments, config):
        return [sys.executable, "-m", "snakemake", *self._arguments(arguments, config)]

    @staticmethod
    def _arguments(arguments, config):
        return [*arguments, *(["--configfile", config] if config else [])]

    def _place(self):
        return {"cwd": self.folder, "env": {**os.environ, **self.environment}, "text": True}

    def planned(self, *arguments, config=TINY):
        """Return the number of jobs per rule that Snakemake would run; empty if there is nothing to do."""
        process = self.snakemake("-n", *arguments, config=config)
        assert process.returncode == 0, process.stdout + process.stderr
        output = process.stdout + process.stderr
        if "Nothing to be done" in output:
            return {}
        table = output.split("Job stats:")[1].split("total")[0]
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE))
        return {rule: int(count) for rule, count in jobs.items() if not rule.endswith("all") and rule != "default"}

    @contextmanager
    def added(self, path, text):
        """Add a file, and take it away again."""
        file = self.folder / path
        assert not file.exists()
        file.write_text(text)
        try:
            yield
        finally:
            file.unlink()

    @contextmanager
    def edited(self, path, change):
        """Change a file's text and put the old one back; the new time stamp stays."""
        file = self.folder / path
        before = file.read_text()
        file.write_text(change(before))
        try:
            yield
        finally:
            file.write_text(before)


def examples():
    """The complete files of docs/extending.md: text by path, as the first line of each names it."""
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), flags=re.DOTALL)
    return dict(blocks)


def science(folder):
    """The bytes of every artefact of science below results/: no logs, benchmarks, figures."""
    kinds = {".npy", ".nc", ".safetensors", ".csv"}
    files = sorted(path for path in (folder / "results").rglob("*") if path.suffix in kinds and "benchmarks" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def copy_project(folder, environment=None):
    """Copy what the workflow needs into a folder; Snakemake will run there with these additional variables."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return Project(folder, environment or {})


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The project with a finished tiny study. Tests may look and plan, and must leave it as it was."""
    project = copy_project(tmp_path_factory.mktemp("finished"))
    process = project.snakemake("--cores", "2")
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
    return project


@pytest.fixture
def fresh(tmp_path):
    """The project with nothing run."""
    return copy_project(tmp_path)
