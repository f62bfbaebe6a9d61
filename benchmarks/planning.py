"""How long `snakemake -n` takes for a study of a paper's size."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.measuring import Comparison, Setting

ROOT = Path(__file__).parents[1]
N_MODELS, N_SEEDS, N_DATASETS = 10, 5, 3
METHODS = (
    "random", "sobel", "saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "guided_grad_cam", "grad_cam",
    "grad_cam_pp", "lrp", "occlusion", "smoothgrad_wide",
)  # fmt: skip


def large_study() -> dict[str, object]:
    """Return a config of 10 models x 5 seeds x 12 methods x 3 data sets."""
    recipe = {"loss": "cross_entropy", "epochs": 12, "network_options": {"width": 16}}
    entry = {"source": "digits", "size": 24}
    return {
        "study": {
            "datasets": [f"digits{number}" for number in range(N_DATASETS)],
            "models": [f"model{number}" for number in range(N_MODELS)],
            "seeds": list(range(N_SEEDS)),
            "methods": list(METHODS),
        },
        "datasets": {f"digits{number}": {**entry, "limit": {"test": 100 + number}} for number in range(N_DATASETS)},
        "methods": {"smoothgrad_wide": {"method": "smoothgrad", "sigma": 0.3}},
        "models": {f"model{number}": {**recipe, "learning_rate": 0.01 * (1 + number)} for number in range(N_MODELS)},
    }


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the seconds of planning, from an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "large.yaml")
        config.write_text(yaml.safe_dump(large_study()))
        options = [
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--directory",
            folder,
            "--configfile",
            str(ROOT / "config" / "config.yaml"),
        ]
        command = [sys.executable, "-m", "snakemake", "-n", "--cores", "2", *options, str(config), "--quiet", "rules"]
        seconds = []
        for _ in range(setting.repetitions if setting.full else 2):  # a quarter of a minute each
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            seconds.append(time.perf_counter() - start)
            if done.returncode:
                raise RuntimeError(f"planning failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    jobs = [line.split()[-1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("total")]
    yield Comparison(
        name=f"snakemake -n, {N_MODELS} models x {N_SEEDS} seeds x {len(METHODS)} methods x {N_DATASETS} data sets",
        against="seconds",
        ours=seconds,
        peer=None,
        at_most=30.0,
        note=f"{jobs[-1]} jobs" if jobs else "",
    )
