"""How much memory is free, and how much is computed at once: every such number of the library is here.

Those of `AT_ONCE` do not depend on the memory that is free, so that the same job gives the same bytes again; where they are too
many, `chunks` halves them. What fits the free memory is asked for where speed depends on it: flipping and resident images.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch


class Most(NamedTuple):
    """At most `images` of up to `side` x `side` pixels; of larger ones as many as have the same pixels."""

    images: int
    side: int


AT_ONCE = {
    "embedded": Most(256, 96),  # in a forward pass of one image each
    "cut": Most(256, 96),  # into units, where each image has its own
    "explained": Most(64, 96),  # in one call of a method: gradients keep every activation
    "copies": Most(256, 32),  # of explained images, in a forward and backward pass inside a method
}
COVERED = 16  # windows of each explained image, in one forward pass
OBSERVED = 4  # forward passes of flipping whose embeddings are observed together: reading them off has many small steps
FORWARD = {"cpu": 128, "cuda": 4096}  # images in a forward pass of flipping: beyond these it gets no faster per image
_SHARE = 0.25  # of the free memory: what one batch of flipping may take, and what the images of one split may keep on a GPU
_RESIDENT_ON_CPU = 4.0 * 2**30  # the page cache does the same work: larger sets stay in the memory map
_TABLE = {"cpu": 2**24, "cuda": 2**28, "meta": 2**28}  # numbers of one table: at most 64 MiB on the CPU, 1 GiB on a GPU
_CGROUP, _OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def at_once(what: str, shape: Sequence[int]) -> int:
    """Return how many images of a shape [..., y, x] go together in a kind of computation (see `AT_ONCE`), at least one."""
    most, pixels = AT_ONCE[what], shape[-2] * shape[-1]
    return max(1, min(most.images, most.images * most.side**2 // pixels))


def chosen_batch(asked: int | None, bytes_per_image: int, device: torch.device) -> int:
    """Return the images per forward pass of flipping: as asked or, for None, as many as free memory bears."""
    if asked is not None:
        return asked
    affordable = int(_SHARE * free_bytes(device) / bytes_per_image)
    return max(1, min(FORWARD[device.type], affordable))


def rows_at_once(n_columns: int, device: torch.device) -> int:
    """Return how many rows of a table of so many columns are computed together, at least one."""
    return max(1, _TABLE[device.type] // n_columns)


def resident_bytes(device: torch.device) -> float:
    """Return how many bytes the uint8 images of one split may keep on a device."""
    return _SHARE * free_bytes(device) if device.type == "cuda" else _RESIDENT_ON_CPU


def free_bytes(device: torch.device) -> float:
    """Return the free bytes of a GPU; on the CPU what the system and the job's control groups leave."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min([_available(), *_control_groups()])


def _available() -> float:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
        if "MemAvailable" in lines:
            return 1024.0 * int(lines["MemAvailable"].split()[0])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _control_groups() -> Iterator[float]:
    """Yield what each control group (version 2) above this process leaves of its limit."""
    lines = _OWN_GROUP.read_text().splitlines() if _OWN_GROUP.exists() else []
    names = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    for name in names:
        folder = _CGROUP / name.strip("/")
        for group in (folder, *folder.parents):
            limit, used = group / "memory.max", group / "memory.current"
            if limit.exists() and used.exists() and limit.read_text().strip() != "max":
                yield float(int(limit.read_text()) - int(used.read_text()))
