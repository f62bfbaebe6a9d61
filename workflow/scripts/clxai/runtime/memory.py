"""How much memory is free, and how many images may go through a network at once."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

MOST_AT_ONCE = {"cpu": 128, "cuda": 4096}  # beyond these a forward pass gets no faster per image
_SHARE = 0.25  # of the free memory that one batch may take
_CGROUP, _OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def chosen_batch(asked: int | None, bytes_per_image: int, device: torch.device) -> int:
    """Return the images per forward pass without gradients: as asked or, for None, as many as free memory bears."""
    if asked is not None:
        return asked
    affordable = int(_SHARE * free_bytes(device) / bytes_per_image)
    return max(1, min(MOST_AT_ONCE[device.type], affordable))


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
