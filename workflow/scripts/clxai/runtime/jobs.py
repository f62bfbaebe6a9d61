"""The job that this process is: what it refuses to write once it is no longer the one that Snakemake waits for.

A killed Snakemake leaves its jobs running. One that ends after the study was started again, perhaps with other settings, must
not overwrite the result of its successor. Nor may a result pass for that of a module that was edited while the job ran.
"""

import gc
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clxai.errors import ClxaiError
from clxai.runtime.identity import digest_of, require_planned

_FIRST_WORDS = "clxai job"
# Importing torch makes objects by the hundred thousand that all stay: collecting less often starts a job a sixth sooner.
_COLLECTION = (50_000, 20, 20)


@dataclass(frozen=True)
class Job:
    """A job by its log file, the first line of it, and the code that it was started with."""

    log: Path
    line: str
    code: dict[str, str] = field(default_factory=dict)

    def require_current(self) -> None:
        """Raise ClxaiError if another process has taken over the log, or if the code was edited."""
        now = _first_line(self.log)
        if now != self.line and now.startswith(_FIRST_WORDS):
            raise ClxaiError(f"{self.log}: this process ({self.line}) was replaced by another ({now}); its result is dropped")
        for path, digest in self.code.items():
            if digest_of(path) != digest:
                raise ClxaiError(f"{path} was edited while this job ran: its result would fit neither version; run again")


_CURRENT: list[Job] = []  # one, once `begin` was called


def begin(log: str | Path, code: Sequence[str]) -> str:
    """Make this process the job of that log; return the line that the log must begin with.

    To be called before the library's other modules are imported: what is edited while they are is then noticed.
    Raises ClxaiError if the code is not that of the loaded library or not what Snakemake planned with.
    """
    gc.set_threshold(*_COLLECTION)
    line = f"{_FIRST_WORDS} {os.getpid()} on {platform.node()} since {time.strftime('%F %T')} {time.perf_counter_ns():x}"
    _CURRENT[:] = [Job(Path(log).absolute(), line, require_planned(code, os.environ))]
    return line


def require_current() -> None:
    """Raise ClxaiError if this process is a job that was replaced or whose code was edited."""
    for job in _CURRENT:
        job.require_current()


def _first_line(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(errors="replace") as file:
        return file.readline().rstrip("\n")
