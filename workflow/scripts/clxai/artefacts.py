"""Reading and writing of artefacts: NetCDF arrays, safetensors weights, CSV tables, JSON records, npy images.

Writes are atomic (a temporary file in the same folder, then a rename) and free of time stamps, so that equal science is equal
bytes. Readers raise ClxaiError naming the file. Nothing is ever unpickled.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clxai.errors import ClxaiError

if TYPE_CHECKING:  # imported where used: most jobs need only one of the formats
    import pandas
    import xarray

_DIGITS = 7  # significant digits of numbers in tables: float32 carries no more


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there on success, delete it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


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


def read_arrays(path: str | Path, leave_out: Sequence[str] = ()) -> "xarray.Dataset":
    """Read a NetCDF file into memory, but for the variables to leave out.

    Raises ClxaiError if it is missing, truncated or not NetCDF.
    """
    import xarray

    try:
        with xarray.open_dataset(existing(path), engine="h5netcdf") as dataset:
            return dataset.drop_vars(leave_out).load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, ClxaiError):
            raise
        raise ClxaiError(f"{path}: not a readable NetCDF file ({error})") from error


def write_tensors(tensors: Mapping[str, Any], record: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors as safetensors with `record` as JSON metadata."""
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, temporary, metadata={"record": json.dumps(record, sort_keys=True)})


def read_tensors(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors and the record of a safetensors file. Raises ClxaiError if it is missing, truncated or foreign."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(existing(path), framework="pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ClxaiError(f"{path}: not a readable safetensors file of this project ({error!r})") from error


def write_table(table: "pandas.DataFrame", path: str | Path) -> None:
    """Write a data frame as CSV, rounded to 7 significant digits."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{_DIGITS}g", lineterminator="\n")


def read_table(path: str | Path) -> "pandas.DataFrame":
    """Read a CSV table. Raises ClxaiError if it is missing, malformed or ends within a line."""
    import pandas

    if not existing(path).read_bytes().endswith(b"\n"):
        raise ClxaiError(f"{path}: not a readable CSV table (it ends within a line)")
    try:
        return pandas.read_csv(path)
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ClxaiError(f"{path}: not a readable CSV table ({error})") from error


def write_record(record: Mapping[str, Any], path: str | Path) -> None:
    """Write a JSON record with sorted keys."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a JSON record. Raises ClxaiError if it is missing or malformed."""
    try:
        return json.loads(existing(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ClxaiError(f"{path}: not readable JSON ({error})") from error


def map_images(path: str | Path) -> np.ndarray:
    """Memory-map an uint8 image array [image, channel, y, x], copy-on-write. Raises ClxaiError if it is anything else."""
    try:
        images = np.lib.format.open_memmap(existing(path), mode="c")  # never unpickles
    except (ValueError, OSError) as error:
        if isinstance(error, ClxaiError):
            raise
        raise ClxaiError(f"{path}: not a readable npy array ({error})") from error
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ClxaiError(f"{path}: expected uint8 [image, channel, y, x], found {images.dtype} {list(images.shape)}")
    return images
