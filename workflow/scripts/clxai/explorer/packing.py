"""Slices: arrays and plain values as one compressed text that a browser unpacks without a server.

Text is base64 of zlib of: the length of the header (uint32, little endian), the header (JSON, UTF-8), zeros up to a multiple
of 4, then the arrays one after the other, little endian, each from a multiple of 4. The header has `values`, and of each array in
`arrays` its `shape`, `type` and `offset`. A quantised one has `low`, `high` and `planes` too: along its last axis each code is
stored as the difference to the one before, modulo 2^16, all low bytes before all high ones, which compress to little.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

LEVELS = 1023  # of a quantised array, between its lowest and its highest value
MISSING = LEVELS + 1  # the code of what is not finite
DIGITS = 4  # significant digits of numbers that come from tables
_STEP = 4  # bytes: typed arrays of a browser begin at a multiple of their size


@dataclass(frozen=True)
class Slice:
    """What is loaded at once: values as JSON knows them, arrays as they are, and arrays that may lose precision."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, ndarray] = field(default_factory=dict)
    quantised: Mapping[str, ndarray] = field(default_factory=dict)


def quantise(values: ndarray) -> tuple[ndarray, float, float]:
    """Return codes uint16 in 0..LEVELS of the range of an array, MISSING where it is not finite, and that range.

    value = low + code (high - low) / LEVELS: off by at most half a level.
    """
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    scale = LEVELS / (high - low) if high > low else 0.0
    codes = np.full(values.shape, MISSING, dtype=np.uint16)
    codes[finite] = np.rint((values[finite] - low) * scale).astype(np.uint16)
    return codes, low, high


def restored(codes: ndarray, low: float, high: float) -> ndarray:
    """Return what `quantise` made codes of, float64, NaN where it was not finite."""
    return np.where(codes == MISSING, np.nan, low + codes.astype(np.float64) * (high - low) / LEVELS)


def rounded(value: float) -> float | None:
    """Return a number of a table as the page shows it, DIGITS significant digits; None where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def pack(content: Slice) -> str:
    """Return a slice as text."""
    blob, arrays = bytearray(), {}
    for name, array in content.arrays.items():
        arrays[name] = _described(array, len(blob))
        _append(blob, array)
    for name, array in content.quantised.items():
        codes, low, high = quantise(array)
        steps = np.diff(codes, axis=-1, prepend=np.uint16(0))
        arrays[name] = {**_described(steps, len(blob)), "low": low, "high": high, "planes": 1}
        _append(blob, np.stack([steps.reshape(-1) & 255, steps.reshape(-1) >> 8]).astype(np.uint8))
    header = json.dumps({"values": content.values, "arrays": arrays}, separators=(",", ":"), allow_nan=False).encode()
    whole = len(header).to_bytes(4, "little") + header
    whole += bytes(-len(whole) % _STEP) + bytes(blob)
    return base64.b64encode(zlib.compress(whole, 9)).decode()


def unpack(text: str) -> Slice:
    """Return what `pack` made a text of; quantised arrays as they come out, float64."""
    whole = zlib.decompress(base64.b64decode(text))
    length = int.from_bytes(whole[:4], "little")
    header = json.loads(whole[4 : 4 + length])
    start = -(-(4 + length) // _STEP) * _STEP
    arrays, quantised = {}, {}
    for name, told in header["arrays"].items():
        count, shape = int(np.prod(told["shape"])), tuple(told["shape"])
        if "planes" in told:
            planes = np.frombuffer(whole, np.uint8, 2 * count, start + told["offset"]).reshape(2, -1).astype(np.uint16)
            codes = np.cumsum((planes[0] | planes[1] << 8).reshape(shape), axis=-1, dtype=np.uint16)
            quantised[name] = restored(codes, told["low"], told["high"])
        else:
            arrays[name] = np.frombuffer(whole, told["type"], count, start + told["offset"]).reshape(shape)
    return Slice(header["values"], arrays, quantised)


def _described(array: ndarray, offset: int) -> dict[str, Any]:
    return {"shape": list(array.shape), "type": array.dtype.name, "offset": offset}


def _append(blob: bytearray, array: ndarray) -> None:
    blob += np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    blob += bytes(-len(blob) % _STEP)
