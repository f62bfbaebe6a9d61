"""Which device computes, with how many threads and in which precision."""

import torch

from clxai.errors import ClxaiError

PRECISIONS = ("auto", "float32", "bfloat16")


def select_device(threads: int) -> torch.device:
    """Return CUDA where a device is visible, else the CPU with `threads` threads."""
    torch.set_num_threads(threads)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
