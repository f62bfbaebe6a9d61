"""What Snakemake would run, read from the events that it logs in a dry run."""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clxai.commands.calling import event_of, is_job, listening, succeeds
from clxai.errors import ClxaiError

_LEVELS = ("dataset", "model", "seed", "sample", "units", "method", "figure")  # in the order in which they are shown


@dataclass
class Plan:
    """Jobs by rule, in the order of the flow, and the names over which they run by level, such as `model`."""

    jobs: dict[str, int] = field(default_factory=dict)
    levels: dict[str, list[str]] = field(default_factory=dict)


class _Events(logging.Filter):
    """Keeps what Snakemake says of its plan, and lets nothing through to the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, int] = {}
        self.wildcards: list[dict[str, str]] = []
        self.errors: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record."""
        event = event_of(record)
        if event == "RUN_INFO":
            self.jobs = dict(record.stats)
        elif event == "JOB_INFO":
            self.wildcards.append(dict(record.wildcards or {}))
        elif record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())
        return False


def planned(snakefile: Path, configfiles: Sequence[Path], directory: Path, everything: bool = False) -> Plan:
    """Return what Snakemake would run of a workflow with config files in a directory, with the profile that it would take there.

    `everything`: as if nothing were finished. Raises ClxaiError, in one line, where Snakemake refuses or is not installed.
    """
    command = ["--configfile", *(str(file.absolute()) for file in configfiles)] if configfiles else []
    command += ["--dry-run", "--snakefile", str(snakefile.absolute()), "--directory", str(directory.absolute())]
    command += ["--forceall"] if everything else []
    events = _Events()
    with listening(events), contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        succeeded = succeeds(command)
    if not succeeded:
        raise ClxaiError(one_line("\n".join(events.errors)) or "Snakemake refused without a word: see `snakemake -n`")
    return plan_of(events.jobs, events.wildcards)


def plan_of(jobs: dict[str, int], wildcards: Sequence[dict[str, str]]) -> Plan:
    """Return a plan from the jobs by rule and the wildcards of each job; target rules and the total are left out."""
    rules = {rule: count for rule, count in jobs.items() if is_job(rule)}
    found = {level: sorted({one[level] for one in wildcards if level in one}, key=_by_number) for level in _LEVELS}
    return Plan(rules, {level: names for level, names in found.items() if names})


def one_line(text: str) -> str:
    """Return the last paragraph of an error of Snakemake without the line that says where in a rule file it arose."""
    lines = [line.strip() for line in text.strip().splitlines()]
    told = [line for line in lines if line and " in file " not in line and not line.startswith("File ")]
    return " ".join(told)


def _by_number(name: str) -> tuple[int, str]:
    return (int(name) if name.isdigit() else 0, name)
