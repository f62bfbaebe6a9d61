"""Timing contestants by turns, so that what else the machine does falls on all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import torch

Contestant = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """On what and how much is measured: device, threads on the CPU, repetitions, quick or full sizes, and by which clock."""

    device: torch.device
    threads: int
    repetitions: int = 5
    full: bool = False
    cpu_time: bool = False

    def use_threads(self, asked: int) -> None:
        """Compute with as many threads as a job of the workflow would, at most the setting's."""
        torch.set_num_threads(min(asked, self.threads))

    def size(self, quick: int) -> int:
        """Return how much of something is measured: eight times as much at full sizes."""
        return 8 * quick if self.full else quick

    def batch(self, cpu: int) -> int:
        """Return a batch size: a GPU needs thousands of images to be busy."""
        return 4096 if self.device.type == "cuda" else cpu


@dataclass(frozen=True)
class Comparison:
    """Seconds of ours and of a peer, by turns, and the bar on their ratio.

    The ratio is ours / peer where `at_most` bounds it (overhead over a floor), peer / ours where `at_least` does (speed-up), and
    our seconds themselves without a peer. Of the ratios of the single turns the median counts. `note` says what was compared and
    in what the results agree.
    """

    name: str
    against: str
    ours: list[float]
    peer: list[float] | None
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """One ratio per turn."""
        if self.peer is None:
            return self.ours
        pairs = zip(self.ours, self.peer, strict=True)
        return [peer / ours if self.at_least is not None else ours / peer for ours, peer in pairs]

    @property
    def holds(self) -> bool:
        """Whether the median ratio is within the bar."""
        ratio = statistics.median(self.ratios)
        return ratio <= self.at_most if self.at_most is not None else ratio >= self.at_least

    def record(self) -> dict[str, object]:
        """Return everything that goes into the JSON file."""
        return {**asdict(self), "ratio": statistics.median(self.ratios), "ratios": self.ratios, "holds": self.holds}


def by_turns(contestants: Mapping[str, Contestant], setting: Setting, warm_up: int = 1) -> dict[str, list[float]]:
    """Return the seconds of each contestant, one per repetition; the order of the turns alternates."""
    for _ in range(warm_up):
        for contestant in contestants.values():
            contestant()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    gc.collect()
    for repetition in range(setting.repetitions):
        for name in names if repetition % 2 == 0 else reversed(names):
            seconds[name].append(timed(contestants[name], setting.device, setting.cpu_time))
    return seconds


def timed(contestant: Contestant, device: torch.device, cpu_time: bool = False) -> float:
    """Return how many seconds a call takes: device events on CUDA, elsewhere the wall clock or this process's CPU time."""
    if device.type != "cuda":
        clock = time.process_time if cpu_time else time.perf_counter
        start = clock()
        contestant()
        return clock() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begin.record()
    contestant()
    end.record()
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1000
