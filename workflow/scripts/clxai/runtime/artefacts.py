"""Reading and writing of artefacts: NetCDF arrays, safetensors weights, CSV tables, JSON records, npy images.

Writes are atomic (a temporary file in the same folder, then a rename) and free of time stamps, so that equal science is equal
bytes. Files but tables carry a checksum: readers raise ClxaiError naming the file if it is missing, damaged, edited or foreign.
Nothing is ever unpickled.
"""

import errno
import json
import os
import platform
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from clxai.errors import ClxaiError
from clxai.runtime.integrity import (
    KEY,
    append_digest,
    check_appended,
    damaged,
    record_digest,
    unsigned,
)
from clxai.runtime.jobs import require_current

if TYPE_CHECKING:  # imported where used: most jobs need only one of the formats
    import pandas
    import xarray

_DIGITS = 7  # significant digits of numbers in tables: float32 carries no more


# What a full or read-only disk, a quota, a size limit or a broken disk answers.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; flush it and move it there on success, delete it on failure.

    Raises ClxaiError if the disk refuses, or if this process is no longer the job that may write (see `jobs`).
    """
    path = Path(path)
    temporary = None
    require_current()
    try:
        temporary = _temporary(path)
        yield temporary
        temporary.chmod(0o644)
        _flush(temporary)
        require_current()
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise ClxaiError(f"{path}: cannot be written ({os.strerror(error.errno)})") from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Create a temporary file beside `path`, named after this process; remove what dead processes left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = f".{path.name}.{platform.node()}-"
    for left in path.parent.glob(f"{owner}*"):
        process = re.match(r"\d+", left.name.removeprefix(owner))
        if process and not _alive(int(process.group())):
            left.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{owner}{os.getpid()}-", suffix=path.suffix)
    os.close(handle)
    return Path(name)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _flush(path: Path) -> None:
    """Wait until a file is on the disk: a name must not outlive its content when the power fails."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def existing(path: str | Path) -> Path:
    """Return `path`. Raises ClxaiError if it is missing or empty."""
    path = Path(path)
    if not path.is_file():
        raise ClxaiError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ClxaiError(f"{path}: the file is empty")
    return path


def write_arrays(dataset: "xarray.Dataset", path: str | Path) -> None:
    """Write an xarray Dataset as NetCDF 4; floating variables are checked for infinities first."""
    encoding = {name: {"zlib": True, "complevel": 1} for name, array in dataset.data_vars.items() if array.dtype.kind in "fi"}
    for name, array in dataset.data_vars.items():
        if array.dtype.kind == "f" and np.isinf(array.values).any():
            raise ClxaiError(f"{path}: {name} holds infinite values")
    with atomic(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
        append_digest(temporary)


def read_arrays(path: str | Path, leave_out: Sequence[str] = ()) -> "xarray.Dataset":
    """Read a NetCDF file into memory, but for the variables to leave out.

    Raises ClxaiError if it is missing, damaged or not NetCDF. The checksum is that of the whole file, whatever is left out.
    """
    import xarray

    check_appended(existing(path))
    try:
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            return dataset.drop_vars(leave_out).load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ClxaiError(f"{path}: not a readable NetCDF file ({error})") from error


def write_tensors(tensors: Mapping[str, Any], record: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors as safetensors with `record` and its checksum as JSON metadata."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    signed = {**record, KEY: record_digest(record, contiguous)}
    with atomic(path) as temporary:
        temporary.write_bytes(save(contiguous, metadata={"record": json.dumps(signed, sort_keys=True)}))


def read_tensors(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors and the record of a safetensors file. Raises ClxaiError if it is missing, damaged or foreign."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(existing(path), framework="pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            found = record.pop(KEY, None)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, ClxaiError):
            raise
        raise ClxaiError(f"{path}: not a readable safetensors file of this project ({error!r})") from error
    _compare(path, found, record_digest(record, tensors))
    return tensors, record


def _compare(path: str | Path, found: object, expected: str) -> None:
    if found is None:
        raise unsigned(path, "in its record")
    if found != expected:
        raise damaged(path)


def write_table(table: "pandas.DataFrame", path: str | Path) -> None:
    """Write a data frame as CSV, rounded to 7 significant digits."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{_DIGITS}g", lineterminator="\n")


def read_table(path: str | Path) -> "pandas.DataFrame":
    """Read a CSV table. Raises ClxaiError if it is missing, malformed or cut off within a row; other edits are not noticed."""
    import pandas

    content = existing(path).read_bytes()
    if not content.endswith(b"\n"):
        raise ClxaiError(f"{path}: not a readable CSV table (its last line is cut off): delete it and run again")
    try:
        return pandas.read_csv(BytesIO(content))
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ClxaiError(f"{path}: not a readable CSV table ({error})") from error


def write_npz(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write arrays as an npz file, compressed, free of time stamps."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = BytesIO()
            np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)


def write_text(text: str, path: str | Path) -> None:
    """Write a text, UTF-8, as it is."""
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode())


def write_record(record: Mapping[str, Any], path: str | Path) -> None:
    """Write a JSON record with sorted keys and its checksum as one more key."""
    signed = {**record, KEY: record_digest(record)}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(signed, indent=2, sort_keys=True) + "\n")


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a JSON record. Raises ClxaiError if it is missing, malformed, or not as it was written."""
    content = existing(path).read_bytes()
    try:
        record = json.loads(content)
        found = record.pop(KEY, None)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ClxaiError(f"{path}: not a readable JSON record ({error})") from error
    _compare(path, found, record_digest(record))
    return record


def map_images(path: str | Path) -> np.ndarray:
    """Memory-map an uint8 image array [image, channel, y, x], copy-on-write. Raises ClxaiError if it is anything else.

    The pixels are not looked at; `datasets.StoredImages` compares those that are used with their checksums.
    """
    try:
        with warnings.catch_warnings(action="error"):  # numpy warns of a header that it had to repair
            images = np.lib.format.open_memmap(existing(path), mode="c")  # never unpickles
    except (ValueError, OSError, TypeError, SyntaxError, OverflowError, EOFError, MemoryError, TokenError, Warning) as error:
        if isinstance(error, ClxaiError):
            raise
        raise ClxaiError(f"{path}: not a readable npy array ({error})") from error
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ClxaiError(f"{path}: expected uint8 [image, channel, y, x], found {images.dtype} {list(images.shape)}")
    found, expected = Path(path).stat().st_size, images.offset + images.nbytes
    if found != expected:
        raise ClxaiError(f"{path}: damaged, it has {found} bytes where its header says {expected}: delete it and run again")
    return images
