"""Time and peak memory of `flip` as images, steps and heads grow sixteenfold, each point in a process of its own."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from clxai.devices import keep_freed_memory
from clxai.inference import prepare_for_flipping
from clxai.memory import chosen_batch

from benchmarks import problems
from benchmarks.flips import run_through

BASE = {"images": 32, "steps": 16, "heads": 4}
GROWTH = {"images": (16, 32, 64, 128, 256), "steps": (4, 8, 16, 32, 64), "heads": (1, 2, 4, 8, 16)}
_MEBIBYTE = 2**20


def measure(images: int, steps: int, heads: int, device: torch.device) -> dict[str, float]:
    """Return seconds, peak memory while flipping (above what was there before, MiB) and images through the network."""
    problem = problems.SMALL
    encoder = problems.encoder_of(problem, device)
    pictures = problems.images_of(problem, images, device)
    kinds = list(problems.heads_of(encoder, problem).items())
    chosen = {f"{name}{number}": head for number in range(4) for name, head in kinds}
    chosen = dict(list(chosen.items())[:heads])
    observer = problems.observer_for(encoder, problem, pictures, chosen)
    prepare_for_flipping(encoder.backbone, "float32")
    plan = problems.flipping_of(problem, ("mean",), steps, chosen_batch(None, encoder.architecture, device))
    rank = problems.ranks_of(problem, 1, images, device)
    run_through(encoder, observer, pictures[:1], rank[:, :1], plan)
    before, start = _peak(device), time.perf_counter()
    run_through(encoder, observer, pictures, rank, plan)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return {
        "seconds": time.perf_counter() - start,
        "peak_mib": _peak(device),
        "grown_mib": _peak(device) - before,
        "forward": images * (2 + 2 * (steps - 1)),
    }


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MEBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sweep(device: str, threads: int, repetitions: int) -> list[dict[str, object]]:
    """Return one row per point; the quickest of the repetitions counts, each in a fresh process."""
    rows = []
    for axis, values in GROWTH.items():
        for value in values:
            point = {**BASE, axis: value}
            command = [sys.executable, "-m", "benchmarks.scaling", json.dumps({**point, "device": device, "threads": threads})]
            runs = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
                    for _ in range(repetitions)]  # fmt: skip
            rows.append({"axis": axis, **point, **min(runs, key=lambda run: run["seconds"])})
            print(rows[-1], flush=True)
    return rows


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Draw seconds and peak memory over each axis."""
    import matplotlib.pyplot as plt
    from clxai.style import use_style

    use_style()
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 4.0), sharex="col", layout="constrained")
    for column, axis in enumerate(GROWTH):
        own = [row for row in rows if row["axis"] == axis]
        values = np.array([row[axis] for row in own], dtype=float)
        seconds = np.array([row["seconds"] for row in own])
        axes[0, column].plot(values, seconds, "o-", color="C0", label="measured")
        passes = np.array([row["forward"] for row in own])
        axes[0, column].plot(values, seconds[-1] * passes / passes[-1], "--", color="0.5", label="as images through the network")
        axes[1, column].plot(values, [row["peak_mib"] for row in own], "o-", color="C1")
        axes[1, column].set(xlabel=axis, ylim=(0, None))
        axes[0, column].set(xscale="log", yscale="log")
        axes[1, column].set_xticks(values, [f"{value:g}" for value in values])
        axes[1, column].minorticks_off()
    axes[0, 0].set_ylabel("time (s)")
    axes[1, 0].set_ylabel("peak memory (MiB)")
    axes[0, 0].legend(frameon=False, fontsize=7)
    figure.savefig(path)


def main() -> None:
    """Measure one point, given as JSON, and print it as JSON."""
    point = json.loads(sys.argv[1])
    torch.set_num_threads(point.pop("threads"))
    keep_freed_memory()
    print(json.dumps(measure(**{**point, "device": torch.device(point["device"])})))


if __name__ == "__main__":
    main()
