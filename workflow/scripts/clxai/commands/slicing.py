"""A slice of a study: as much of it as fits into a time, stopped so that the next slice goes on.

Snakemake runs in this process, beside a thread that watches the clock. When the last part of the time begins, the thread sends
the process SIGTERM, upon which Snakemake starts no further job and waits for those that run. What still runs at the end gets
SIGTERM itself, and SIGKILL if that does not end it: Snakemake then removes the outputs of these jobs, their marks and its lock,
as it does after any failure. A training loses what it did since its last saved epoch, another job what it did at all.

A slice that is killed leaves Snakemake's lock behind. A slice therefore holds a lock of the kernel's, and puts the time of its
file forward while it lives: locks of Snakemake that are no younger were left by a slice that is dead, and the next one removes
them. Those of another run of Snakemake stay, and the slice is refused.
"""

import contextlib
import fcntl
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clxai.commands.calling import event_of, is_job, listening, succeeds
from clxai.errors import ClxaiError

LOCK = Path(".snakemake", "slice.lock")
RESUMES = "train_model"  # the rule whose jobs go on where they were
_BEAT = 0.5  # seconds between two looks at the clock
_FORGIVEN = 3.0  # seconds that the time of a dead slice's file may lag behind its last act
_END = 10.0  # seconds that a job has after SIGTERM
_GRACE = (0.1, 300.0)  # the last part of a slice in which no job is started: a share of it, at most so many seconds
_CLEARING = (0.1, 15.0)  # what stopping takes, kept free at the end: the same


@dataclass(frozen=True)
class Times:
    """When a slice ends, in seconds from the start of its process.

    After `last_start` no job is started, at `stop` those that run are ended.
    """

    last_start: float
    stop: float

    @classmethod
    def of(cls, minutes: float, grace: float | None = None) -> "Times":
        """Return the times of a slice of so many minutes; `grace` is the time in seconds from the last start to the stop."""
        seconds = 60 * minutes
        stop = seconds - min(_CLEARING[0] * seconds, _CLEARING[1])
        waits = min(_GRACE[0] * seconds, _GRACE[1]) if grace is None else grace
        if not 0 <= waits < stop:
            raise ClxaiError(f"--grace must be from 0 to the slice's {stop:.0f} s. Got {waits:g}")
        return cls(stop - waits, stop)


class Ledger(logging.Filter):
    """What became of the jobs of a run, read from Snakemake's events."""

    def __init__(self) -> None:
        super().__init__()
        self.planned: dict[str, int] = {}
        self.started: dict[int, tuple[str, str, float]] = {}  # by job: rule, wildcards in words, time of the start
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.cut: list[tuple[str, str, float]] = []  # rule, wildcards in words, seconds until it was stopped
        self.out_of_time = False  # no further job is started
        self.stopping = False  # those that run are ended

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a record; those of jobs that the slice itself has ended are not shown."""
        event = event_of(record)
        if event == "RUN_INFO":
            self.planned = {rule: count for rule, count in record.stats.items() if is_job(rule)}
        elif event == "JOB_INFO":
            self.started[record.jobid] = (record.rule_name, _in_words(record.wildcards or {}), time.monotonic())
        elif event == "JOB_FINISHED" and record.job_id in self.started:
            self.done[self.started.pop(record.job_id)[0]] += 1
        elif event == "JOB_ERROR":
            self._ended(record.jobid, record.rule_name)
        return not (self.stopping and event in ("JOB_ERROR", "ERROR"))

    @property
    def left(self) -> dict[str, int]:
        """Jobs that are still to be done, by rule."""
        counts = {rule: count - self.done[rule] for rule, count in self.planned.items()}
        return {rule: count for rule, count in counts.items() if count > 0}

    def _ended(self, job: int, rule: str) -> None:
        _, words, since = self.started.pop(job, (rule, "", time.monotonic()))
        if self.stopping:
            self.cut.append((rule, words, time.monotonic() - since))
        else:
            self.failed.append(" ".join(filter(None, (rule, words))))


@dataclass
class Watch:
    """The clock of a slice, in a thread of its own."""

    times: Times
    ledger: Ledger
    lock: Path
    started: float  # as time.time counts
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Watch until the slice is over."""
        while not self.over.wait(_BEAT):
            os.utime(self.lock)
            if self.passed >= self.times.last_start and not self.ledger.out_of_time:
                self.ask()
            if self.passed >= self.times.stop:
                self.ledger.stopping = True
                end_children(kill=self.passed >= self.times.stop + _END)

    @property
    def passed(self) -> float:
        """Seconds since the process began."""
        return time.time() - self.started

    def ask(self) -> None:
        """Ask Snakemake to start no further job."""
        self.ledger.out_of_time = True
        os.kill(os.getpid(), signal.SIGTERM)

    def stop_now(self, *_: object) -> None:
        """Let the time be over now: for a user's Ctrl-C, which the jobs of a terminal are sent too."""
        self.ledger.stopping = True
        self.times = Times(0.0, 0.0)


def run_slice(command: Sequence[str], times: Times, directory: Path = Path()) -> tuple[Ledger, bool]:
    """Run Snakemake with these arguments for a time; return what became of its jobs, and whether it succeeded.

    Raises ClxaiError if another slice runs in the directory.
    """
    import psutil  # which Snakemake needs too

    ledger = Ledger()
    with _alone(directory / LOCK) as lock, listening(ledger):
        watch = Watch(times, ledger, lock, psutil.Process().create_time())
        thread = threading.Thread(target=watch.run, daemon=True)
        handlers = {signal.SIGTERM: _leave, signal.SIGINT: watch.stop_now}
        before = {name: signal.signal(name, handler) for name, handler in handlers.items()}
        thread.start()
        try:
            return ledger, succeeds(command)
        finally:
            watch.over.set()
            thread.join()
            for name, handler in before.items():
                signal.signal(name, handler)


def end_children(kill: bool = False) -> None:
    """End every process that this one has started, directly or not."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill() if kill else child.terminate()


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[Path]:
    """Hold the lock of the slices of a directory, and remove what a killed slice left locked there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClxaiError(f"{file}: another slice runs in this directory; wait for its end") from None
        remove_dead_locks(file)
        os.utime(file)
        yield file


def remove_dead_locks(file: Path) -> None:
    """Remove Snakemake's locks that were made while the last slice, whose file this is, lived."""
    last = file.stat().st_mtime + _FORGIVEN
    locks = list((file.parent / "locks").glob("*.lock"))
    if locks and all(lock.stat().st_mtime <= last for lock in locks):
        print("the last slice here was killed: its lock is removed", flush=True)
        for lock in locks:
            lock.unlink()


def _leave(*_: object) -> None:
    """Leave while Snakemake plans, before it listens to SIGTERM itself."""
    raise SystemExit(1)


def _in_words(wildcards: Mapping[str, str]) -> str:
    return " ".join(map(str, wildcards.values()))
