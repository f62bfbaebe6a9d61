"""Estimate what a study would take: core hours, memory and disk by rule. Nothing is run but a probe of seconds a network.

Passes through networks are counted from the config, jobs and rows of tables too; how fast this machine is, is measured.
"""

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from clxai.commands.check import require_files
from clxai.commands.studies import CHECKOUT
from clxai.errors import ClxaiError
from clxai.planning.estimating import Rates, Row
from clxai.planning.work import Network

HELP = "estimate what a study would take"
EPILOG = """\
examples:
  clxai estimate --cores 2 config/cifar10_cpu.yaml
  clxai estimate --reference config/*.yaml --csv config/estimates.csv     each by itself, a line each into a table

Each file is merged over the checkout's config/config.yaml, as Snakemake does. One core is measured, in CPU time: what runs beside
does not count. With --reference nothing is measured: the hours are those of a core with AVX2. Jobs are of one thread, so hours
are core hours over cores. Expect half or twice as much. A GPU takes TFLOP / (3600 x its TFLOP/s) hours for the passes.

exit codes: 0 done; 1 an error, said in one line; 2 wrong usage.
"""
DEFAULT = CHECKOUT / "config" / "config.yaml"
SCHEMA = CHECKOUT / "workflow" / "schemas" / "config.schema.yaml"
COLUMNS = ("config", "jobs", "pflop", "train_hours", "core_hours", "memory_gb", "disk_gb")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", nargs="*", type=Path, metavar="CONFIG", help="config files, one study each")
    parser.add_argument("--cores", type=int, default=1, help="cores over which the jobs are spread (default: 1)")
    parser.add_argument("--reference", action="store_true", help="measure nothing: the hours of a core with AVX2")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each study to a table too")


def run(given: argparse.Namespace) -> int:
    """Print the estimates."""
    from clxai.commands.probing import REFERENCE_START, probe, reference, start_up

    require_files(given.config)
    if given.cores < 1:
        raise ClxaiError(f"--cores must be at least 1. Got {given.cores}")
    began, rates_of = (REFERENCE_START, cache(reference)) if given.reference else (start_up(), cache(probe))
    lines = []
    for file in given.config or [DEFAULT]:
        rows = _of_study(file, began, rates_of)
        print("\n".join([f"{file}", *words(rows, given.cores), ""]), flush=True)
        lines.append(line(file.name, rows))
    if given.csv:
        with given.csv.open("w", newline="") as table:
            csv.writer(table, lineterminator="\n").writerows([COLUMNS, *lines])
    return 0


def _of_study(file: Path, began: float, rates_of: Callable[[Network], Rates]) -> list[Row]:
    """Return the rows of a study: those of its data sets, one after the other."""
    from clxai.planning.estimating import estimate
    from clxai.planning.filling import merged
    from clxai.planning.needed import models_needed
    from clxai.planning.work import batch_of, size_of, work_of

    config = merged([DEFAULT, *([file] if file.resolve() != DEFAULT else [])], SCHEMA)
    models = models_needed(config)
    batches = {model: batch_of(config, model) for model in models}
    found: list[Row] = []
    for dataset in config["study"]["datasets"]:
        size = size_of(config, dataset)
        rates = {model: rates_of(Network.of(config, model, size)) for model in models}
        found += estimate(work_of(config, size), rates, began, batches)
    return found


def words(rows: Sequence[Row], cores: int) -> Iterator[str]:
    """Yield the lines of a table: a rule each, then all of a data set."""
    yield f"{'rule':14} {'jobs':>6} {'TFLOP':>10} {'core h':>8} {f'h, {cores} cores':>11} {'memory GB':>9} {'disk GB':>8}"
    for row in rows:
        hours = row.seconds / 3600
        yield (
            f"{row.rule:14} {row.jobs:6} {row.tflop:10.3g} {hours:8.2f} {hours / cores:11.2f} {row.memory:9.1f} {row.disk:8.3g}"
        )


def line(name: str, rows: Sequence[Row]) -> list[Any]:
    """Return the line of a study in the table of several, its data sets together."""
    whole = [row for row in rows if row.rule == "all"]
    trained = sum(row.seconds for row in rows if row.rule == "train_model") / 3600
    jobs, tflop, seconds, disk = (sum(getattr(row, key) for row in whole) for key in ("jobs", "tflop", "seconds", "disk"))
    memory = max(row.memory for row in whole)
    return [name, jobs, *(f"{float(f'{value:.2g}'):g}" for value in (tflop / 1000, trained, seconds / 3600, memory, disk))]
