"""Checksums of artefacts: a file that was damaged or edited after it was written is found by its reader.

Each format keeps its SHA-256 where other readers of the format do not trip over it: NetCDF as a trailer after the end of the
HDF5 data, safetensors and JSON inside their record. CSV has no such place: tables carry none.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clxai.errors import ClxaiError

if TYPE_CHECKING:  # the tables and figures need no torch
    from torch import Tensor

KEY = "content_sha256"  # of the checksum in a record
_MAGIC = b"\nclxai sha256 "
_TRAILER = len(_MAGIC) + 64
_CHUNK = 2**22


def damaged(path: str | Path) -> ClxaiError:
    """Return the error for a file whose checksum does not fit."""
    return ClxaiError(f"{path}: damaged or edited since it was written (its checksum differs): delete it and run again")


def unsigned(path: str | Path, where: str) -> ClxaiError:
    """Return the error for a file without a checksum."""
    return ClxaiError(f"{path}: no checksum {where}: an older version or another tool wrote it; delete it and run again")


def file_digest(path: str | Path, length: int | None = None) -> str:
    """Return the SHA-256 of a file or of its first `length` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        left = Path(path).stat().st_size if length is None else length
        while chunk := file.read(min(left, _CHUNK)):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def append_digest(path: Path) -> None:
    """Append the SHA-256 of a file to the file: 78 bytes, which HDF5 ignores."""
    digest = file_digest(path)
    with path.open("ab") as file:
        file.write(_MAGIC + digest.encode())


def check_appended(path: Path) -> None:
    """Raise ClxaiError unless the file ends in the SHA-256 of what stands before."""
    length = path.stat().st_size - _TRAILER
    with path.open("rb") as file:
        file.seek(max(length, 0))
        trailer = file.read()
    if not trailer.startswith(_MAGIC):
        raise unsigned(path, "at its end")
    if file_digest(path, length).encode() != trailer[len(_MAGIC) :]:
        raise damaged(path)


def record_digest(record: Mapping[str, Any], tensors: Mapping[str, "Tensor"] | None = None) -> str:
    """Return the SHA-256 of a record without its checksum, and of names, types, shapes and bytes of tensors on the CPU."""
    content = {name: value for name, value in record.items() if name != KEY}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name, tensor in sorted((tensors or {}).items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: "Tensor") -> Any:
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
