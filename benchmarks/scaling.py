"""Time and peak memory of `flip` as images, steps and heads grow sixteenfold, each point in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from clxai.networks.inference import prepared_for_flipping
from clxai.runtime.devices import keep_freed_memory
from clxai.runtime.memory import chosen_batch

from benchmarks import problems
from benchmarks.flips import run_through
from benchmarks.measuring import timed

BASE = {"images": 32, "steps": 16, "heads": 4}
GROWTH = {"images": (16, 32, 64, 128, 256), "steps": (4, 8, 16, 32, 64), "heads": (1, 2, 4, 8, 16)}


def measure(images: int, steps: int, heads: int, device: torch.device) -> dict[str, float]:
    """Return seconds, peak of the tensors that flipping held (MiB) and images through the network."""
    problem = problems.SMALL
    encoder = problems.encoder_of(problem, device)
    pictures = problems.images_of(problem, images, device)
    kinds = list(problems.heads_of(encoder, problem).items())
    chosen = dict([(f"{name}{number}", head) for number in range(4) for name, head in kinds][:heads])
    observer = problems.observer_for(encoder, problem, pictures, chosen)
    encoder = prepared_for_flipping(encoder, "float32")
    plan = problems.flipping_of(problem, ("mean",), steps, chosen_batch(None, encoder.bytes_per_image(), device))
    rank = problems.ranks_of(problem, 1, images, device)
    run = partial(run_through, encoder, observer, pictures, rank, plan)
    run_through(encoder, observer, pictures[:8], rank[:, :8], plan)
    seconds = min(timed(run, device) for _ in range(3))
    return {"seconds": seconds, "peak_mib": peak_of(run, device) / 2**20, "forward": images * (2 + 2 * (steps - 1))}


def peak_of(run: Callable[[], None], device: torch.device) -> float:
    """Return the most bytes of tensors that a call holds at once, beyond those that were there before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(profile_memory=True) as profiler:
        run()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return float(held.max())


def sweep(device: str, threads: int) -> list[dict[str, object]]:
    """Return one row per point, each from a fresh process; the quickest of three runs counts."""
    rows = []
    for axis, values in GROWTH.items():
        for value in values:
            point = {**BASE, axis: value}
            command = [sys.executable, "-m", "benchmarks.scaling", json.dumps({**point, "device": device, "threads": threads})]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append({"axis": axis, **point, **json.loads(done.stdout.splitlines()[-1])})
            print(rows[-1], flush=True)
    return rows


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Draw seconds and peak memory over each axis."""
    import matplotlib.pyplot as plt
    from clxai.figures.style import use_style

    use_style()
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 4.0), sharex="col", sharey="row", layout="constrained")
    for column, axis in enumerate(GROWTH):
        own = [row for row in rows if row["axis"] == axis]
        values, seconds, passes, peak = (
            np.array([row[name] for row in own]) for name in (axis, "seconds", "forward", "peak_mib")
        )
        axes[0, column].plot(values, seconds, "o-", color="C0", label="measured")
        expected = np.median(seconds / passes) * passes
        axes[0, column].plot(values, expected, "--", color="0.4", label="as images through the network")
        axes[1, column].plot(values, peak, "o-", color="C1")
        axes[0, column].set(xscale="log", yscale="log")
        axes[1, column].set_xlabel(axis)
        axes[1, column].set_xticks(values, [str(value) for value in values])
        axes[1, column].minorticks_off()
    ticks = [
        tick for tick in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30) if axes[0, 0].get_ylim()[0] <= tick <= axes[0, 0].get_ylim()[1]
    ]
    axes[0, 0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0, 0].minorticks_off()
    axes[0, 0].set_ylabel("time (s)")
    axes[1, 0].set(ylabel="peak memory (MiB)", ylim=(0, 1.15 * max(row["peak_mib"] for row in rows)))
    axes[0, 2].legend(loc="upper right", fontsize=7)
    figure.savefig(path)


def main() -> None:
    """Measure one point, given as JSON, and print it as JSON."""
    point = json.loads(sys.argv[1])
    torch.set_num_threads(point.pop("threads"))
    keep_freed_memory()
    print(json.dumps(measure(**{**point, "device": torch.device(point["device"])})))


if __name__ == "__main__":
    main()
