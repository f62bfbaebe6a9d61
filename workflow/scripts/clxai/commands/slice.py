"""Run as much of a study as fits into a time, and stop so that the next call goes on.

Any number of slices, stopped or killed, end with the same results as one undisturbed run.
"""

import argparse
from pathlib import Path

from clxai.commands.check import require_files, snakefile_here
from clxai.commands.slicing import RESUMES, Ledger, Times, run_slice
from clxai.errors import ClxaiError

HELP = "run a study for some minutes; the next call goes on"
EPILOG = """\
examples:
  clxai slice --minutes 30                                      the study of this folder
  clxai slice --minutes 30 --cores 2 config/cifar10_cpu.yaml    as `snakemake --configfile ...` would
  until clxai slice --minutes 30; [ $? -ne 3 ]; do :; done      slice by slice to the end

The minutes include planning and stopping. No job is started in the last tenth, at most 5 minutes; what then still runs is ended
just before the time is over. A training goes on after its last saved epoch, other jobs start again: a slice has to be longer than
an epoch and than any other job. Ctrl-C ends a slice at once, as its time does. What a killed slice left locked is removed.

exit codes: 0 all is done; 3 work is left; 1 an error or a failed job; 2 wrong usage.
"""
LEFT = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", nargs="*", type=Path, metavar="CONFIG", help="config files, merged in this order")
    parser.add_argument("--minutes", type=float, required=True, help="how long the slice may take")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    parser.add_argument("--grace", type=float, metavar="SECONDS", help="how long running jobs may go on when none is started")
    parser.add_argument("--target", action="append", default=[], help="what to make (default: the whole study); may be repeated")
    parser.add_argument("-s", "--snakefile", type=Path, help="the workflow (default: that of this folder, else of the checkout)")
    parser.add_argument("-d", "--directory", type=Path, default=Path(), help="where results lie (default: here)")


def run(given: argparse.Namespace) -> int:
    """Run a slice, say what is done and what is left, and return the exit code."""
    require_files(given.config)
    if given.minutes <= 0:
        raise ClxaiError(f"--minutes must be above 0. Got {given.minutes:g}")
    times = Times.of(given.minutes, given.grace)
    snakefile = given.snakefile or snakefile_here(given.directory)
    command = ["--snakefile", str(snakefile.absolute()), "--directory", str(given.directory.absolute()), "--cores", given.cores]
    command += ["--rerun-incomplete", *given.target]
    command += ["--configfile", *(str(file.absolute()) for file in given.config)] if given.config else []
    ledger, succeeded = run_slice(command, times, given.directory)
    print("\n".join(words(ledger, succeeded)), flush=True)
    return code(ledger, succeeded)


def code(ledger: Ledger, succeeded: bool) -> int:
    """Return the exit code: 0 if all is done, 1 if something went wrong, else LEFT."""
    if succeeded or (ledger.planned and not ledger.left):
        return 0
    return 1 if ledger.failed or not ledger.out_of_time else LEFT


def words(ledger: Ledger, succeeded: bool) -> list[str]:
    """Return what there is to say at the end, the last line for whoever reads one line."""
    lines = [f"cut off after {seconds:.0f} s: {rule} {names}{_resumes(rule)}" for rule, names, seconds in ledger.cut]
    lines += [f"failed: {name}" for name in ledger.failed]
    done, left = ledger.done.total(), sum(ledger.left.values())
    many = f" ({', '.join(f'{count} {rule}' for rule, count in ledger.left.items())})" if left else ""
    ends = {
        0: f"finished: {done} jobs done, nothing left",
        1: f"failed: {done} jobs done, {left} left{many}",
        LEFT: f"not finished: {done} jobs done, {left} left{many}; call again" if left else "not finished: planning takes longer",
    }
    return [*lines, f"slice {ends[code(ledger, succeeded)]}"]


def _resumes(rule: str) -> str:
    return ", goes on after its last saved epoch" if rule == RESUMES else ", starts again"
