"""Which device computes, with how many threads and in which precision."""

import ctypes
from typing import Any

import numpy as np
import torch

from clxai.errors import ClxaiError
from clxai.runtime.leases import release, take_lease

PRECISIONS = ("float32", "bfloat16")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
_KEEP_BYTES = 2**30


def select_device(threads: int, resources: Any, job: str) -> torch.device:
    """Return the device of a job with these threads and resources (of its rule), computing with as many threads on the CPU.

    CUDA, with a lease on one device, if the job asks for a GPU and there is one; waits while all are leased by others. `job` is
    what others read who wait for it.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    if not _asks_for_gpu(resources):
        return torch.device("cpu")
    leased = take_lease(job) if torch.backends.cuda.is_built() else None  # before the next line starts CUDA
    if torch.cuda.is_available():
        print(f"leased GPU {leased}" if leased else "the GPU is not leased: SLURM assigns it, or NVML does not know it")
        return torch.device("cuda")
    release()
    return torch.device("cpu")


def _asks_for_gpu(resources: Any) -> bool:
    """Say whether a rule asks for a GPU, in Snakemake's way or, on clusters that want it, as `gres`."""
    return resources.get("gpu", 0) > 0 or "gpu" in str(resources.get("gres", ""))


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system after every layer.

    Zeroing the same pages again for every activation costs a forward pass on the CPU up to a quarter of its time. Only glibc
    has this setting; elsewhere nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEEP_BYTES)
        mallopt(_MMAP_THRESHOLD, _KEEP_BYTES)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context of a precision, float32 or bfloat16. Raises ClxaiError if it is neither."""
    if precision not in PRECISIONS:
        raise ClxaiError(f"precision must be one of {', '.join(PRECISIONS)}. Got {precision!r}")
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def describe(device: torch.device) -> str:
    """Name the device in words, for logs and records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"


def circumstances(device: torch.device) -> dict[str, str]:
    """Return what besides recipe, seed and data decides the last digits of a number: device, instruction set, versions."""
    return {
        "device": describe(device),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
