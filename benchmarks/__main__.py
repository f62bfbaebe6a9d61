"""Command line of the benchmarks: each group of comparisons in a process of its own, with fixed threads."""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

GROUPS = ("flips", "fills", "heads", "explaining", "amortising", "training", "jobs", "planning")
PACKAGES = ("torch", "torchvision", "captum", "quantus", "grad-cam", "scikit-learn", "numpy", "snakemake")
ROOT = Path(__file__).parents[1]


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"{', '.join(GROUPS)} (default: all of these) or scaling")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="threads on the CPU")
    parser.add_argument("--repetitions", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--full", action="store_true", help="eight times the sizes")
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds of the process, for a machine that others use too")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/latest.json"), help="where the figures go")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # measure in this process, print JSON lines
    options = parser.parse_args()
    unknown = set(options.groups) - {*GROUPS, "scaling"}
    if unknown:
        parser.error(f"unknown group {sorted(unknown)[0]!r}; known: {', '.join(GROUPS)}, scaling")
    return options


def measure_here(options: argparse.Namespace) -> None:
    """Run one group in this process and print one JSON line per comparison."""
    import torch
    from clxai.runtime.devices import keep_freed_memory
    from threadpoolctl import threadpool_limits

    from benchmarks.measuring import Setting

    torch.set_num_threads(options.threads)
    keep_freed_memory()
    setting = Setting(torch.device(options.device), options.threads, options.repetitions, options.full, options.cpu_time)
    with threadpool_limits(options.threads):
        for comparison in importlib.import_module(f"benchmarks.{options.groups[0]}").compare(setting):
            print(json.dumps(comparison.record()), flush=True)


def run_group(group: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Run a group in a fresh process; print each comparison as it comes."""
    command = [sys.executable, "-m", "benchmarks", group, "--here", "--device", options.device, "--threads", str(options.threads)]
    command += ["--repetitions", str(options.repetitions), *(["--full"] if options.full else [])]
    command += ["--cpu-time"] if options.cpu_time else []
    limits = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    rows = []
    environment = {**os.environ, **limits, "TQDM_DISABLE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        for line in process.stdout:
            if not line.startswith("{"):
                print(line, end="")
            else:
                rows.append({"group": group, **json.loads(line)})
                print(in_words(rows[-1]), flush=True)
    if process.returncode:
        raise SystemExit(f"benchmarks: group {group} failed with exit status {process.returncode}")
    return rows


HEADER = (
    "| what | against | ours, s | theirs, s | overhead: ours / floor | speed-up: peer / ours | bar | |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)


def in_words(row: dict[str, object]) -> str:
    """Return a comparison as a line of the table: a ratio stands in the column of its meaning, seconds alone in that of ours."""
    ours, peer, is_overhead = row["ours"], row["peer"], row["at_most"] is not None
    spread = f" [{min(row['ratios']):.2f}, {max(row['ratios']):.2f}]"
    alone, ratio = peer is None, f"{row['ratio']:.3g}x{spread}"
    seconds = (f"{median(ours):.4g}{spread if alone else ''}", "" if alone else f"{median(peer):.4g}")
    ratios = ("", "") if alone else (ratio, "") if is_overhead else ("", ratio)
    bar = f"<= {row['at_most']:g}{' s' if alone else ''}" if is_overhead else f">= {row['at_least']:g}"
    return "| " + " | ".join((row["name"], row["against"], *seconds, *ratios, bar, "holds" if row["holds"] else "MISSED")) + " |"


def machine(options: argparse.Namespace) -> dict[str, object]:
    """Return what the figures depend on: machine, threads, versions, commit."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=ROOT)
    return {
        "device": options.device,
        "device_name": _device_name(options.device),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "repetitions": options.repetitions,
        "full": options.full,
        "clock": "CPU seconds" if options.cpu_time else "wall",
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit.stdout.strip(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _device_name(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Run the groups that were asked for, print the table, write the JSON."""
    options = parse()
    if options.here:
        measure_here(options)
        return
    about = machine(options)
    print(f"{about['device_name']}, {options.threads} threads, commit {about['commit']}")
    if options.groups == ["scaling"]:
        from benchmarks import scaling

        rows = scaling.sweep(options.device, options.threads)
        scaling.draw(rows, options.json.with_suffix(".svg"))
    else:
        print(*HEADER, sep="\n")
        rows = [row for group in options.groups or GROUPS for row in run_group(group, options)]
    options.json.write_text(json.dumps({**about, "comparisons": rows}, indent=2) + "\n")
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
