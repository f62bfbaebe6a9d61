"""Which device computes, with how many threads and in which precision."""

import ctypes

import torch

from clxai.errors import ClxaiError

PRECISIONS = ("auto", "float32", "bfloat16")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
_KEEP_BYTES = 2**30


def select_device(threads: int) -> torch.device:
    """Return CUDA where a device is visible, else the CPU with `threads` threads."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system after every layer.

    Zeroing the same pages again for every activation costs a forward pass on the CPU up to a quarter of its time. Only glibc
    has this setting; elsewhere nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEEP_BYTES)
        mallopt(_MMAP_THRESHOLD, _KEEP_BYTES)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether `device` multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context of a precision: `auto` means bfloat16 where the hardware has it, else float32."""
    if precision not in PRECISIONS:
        raise ClxaiError(f"precision must be one of {', '.join(PRECISIONS)}. Got {precision!r}")
    enabled = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def describe(device: torch.device) -> str:
    """Name the device in words, for logs and records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"
