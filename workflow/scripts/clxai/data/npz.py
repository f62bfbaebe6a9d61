"""What an npz file in the MedMNIST layout holds, by the headers of its arrays: read while planning, without numpy and pixels."""

import ast
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from clxai.errors import STORE_8_BITS, ClxaiError, some_of
from clxai.names import SPLITS

MOST_CHANNELS = 16  # of an image; more are taken for another layout
_HEADER_BYTES = 10_000  # as numpy allows
_UNREADABLE = (OSError, ValueError, SyntaxError, KeyError, TypeError, EOFError, RuntimeError, BadZipFile, zlib.error)
_NAMES_SHOWN = 12  # of the arrays of a file, in an error


@dataclass(frozen=True)
class Header:
    """Type and shape of an array, as numpy writes them."""

    descr: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """The name of the type, such as uint8 or float32; numpy's code where it is another."""
        kind = {"u": "uint", "i": "int", "f": "float"}.get(self.descr[1:2])
        return f"{kind}{8 * int(self.descr[2:])}" if kind and self.descr[2:].isdigit() else self.descr


def read_headers(path: str | Path) -> dict[str, Header]:
    """Return type and shape of the arrays `{train,val,test}_{images,labels,evidence,groups}` of a file, those that are there.

    Raises ClxaiError if the file is no npz, if an array holds Python objects, or if images and labels do not belong together.
    """
    try:
        with ZipFile(path) as archive:
            wanted = {f"{split}_{what}.npy" for split in SPLITS for what in ("images", "labels", "evidence", "groups")}
            members = archive.namelist()
            headers = {name.removesuffix(".npy"): _header(archive, name) for name in members if name in wanted}
    except _UNREADABLE as error:
        if isinstance(error, ClxaiError):
            raise
        raise ClxaiError(f"{path}: not a readable npz file ({error})") from error
    for name, header in headers.items():
        if "O" in header.descr:
            raise ClxaiError(f"{path}: not a readable npz file ({name} holds Python objects, which are never unpickled)")
    _check_train(headers, members, path)
    _check_layout(headers, path)
    _check_evidence(headers, path)
    _check_groups(headers, path)
    return headers


def array_headers(path: str | Path) -> dict[str, Header]:
    """Return type and shape of every array of an npz file, by name, or of the one in an npy file, by the name of the file.

    Raises ClxaiError if the file is neither.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return {path.stem: _header_in(file, path.name)}
        with ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist()}
    except _UNREADABLE as error:
        raise ClxaiError(f"{path}: not a readable {path.suffix} file ({error})") from error


def extent(entry: Mapping[str, Any], where: str) -> tuple[dict[str, int], tuple[int, int]]:
    """Return the images of each split, and height and width of the first one. Raises ClxaiError if the file cannot work."""
    headers = read_headers(entry["path"])
    counts = {name: headers[f"{name}_images"].shape[0] for name in SPLITS if f"{name}_images" in headers}
    height, width = headers["train_images"].shape[1:3]
    return counts, (height, width)


def channels(entry: Mapping[str, Any]) -> int:
    """Return the channels of the images of the file."""
    shape = read_headers(entry["path"])["train_images"].shape
    return shape[3] if len(shape) == 4 else 1


def content(entry: Mapping[str, Any]) -> dict[str, int]:
    """Return the checksums of the arrays of the file."""
    return checksums(entry["path"])


def parts(entry: Mapping[str, Any]) -> int:
    """Return the most parts of the evidence: as many as bytes can number, or 0 if the file has none."""
    return 255 if "train_evidence" in read_headers(entry["path"]) else 0


def groups(entry: Mapping[str, Any]) -> bool:
    """Say whether the file tells which images belong together."""
    return "train_groups" in read_headers(entry["path"])


def files(entry: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """Return the file, under a name that does not depend on where it lies."""
    return [("npz", Path(entry["path"]))]


def checksums(path: str | Path) -> dict[str, int]:
    """Return the CRC-32 of every array of an npz file as its zip directory holds it: no pixel is read, whatever the size."""
    try:
        with ZipFile(path) as archive:
            return {member.filename: member.CRC for member in archive.infolist()}
    except (OSError, ValueError, BadZipFile) as error:
        raise ClxaiError(f"{path}: not a readable npz file ({error})") from error


def present_splits(headers: dict[str, Header]) -> list[str]:
    """Return the splits that have images."""
    return [name for name in SPLITS if (header := headers.get(f"{name}_images")) and header.shape and header.shape[0]]


def _header(archive: ZipFile, name: str) -> Header:
    with archive.open(name) as file:
        return _header_in(file, name)


def _header_in(file: BufferedIOBase, name: str) -> Header:
    magic = file.read(8)
    if not magic.startswith(b"\x93NUMPY"):
        raise ValueError(f"{name} is no array")
    length = int.from_bytes(file.read(2 if magic[6] == 1 else 4), "little")
    if length > _HEADER_BYTES:
        raise ValueError(f"the header of {name} is too long")
    fields = ast.literal_eval(file.read(length).decode("latin1").strip())
    return Header(str(fields["descr"]), tuple(int(size) for size in fields["shape"]))


def _check_train(headers: dict[str, Header], members: list[str], path: str | Path) -> None:
    """Raise ClxaiError, with the names of all arrays of the file, if it has no training images."""
    if "train" not in present_splits(headers):
        names = sorted(name.removesuffix(".npy") for name in members)
        found = some_of(names, _NAMES_SHOWN)
        raise ClxaiError(
            f"{path}: train_images is missing or empty. Found: {found or 'nothing'}. "
            "Needed: train_images, train_labels; optional: val_images, val_labels, test_images, test_labels"
        )


def _check_layout(headers: dict[str, Header], path: str | Path) -> None:
    for name in present_splits(headers):
        images, labels = headers[f"{name}_images"], headers.get(f"{name}_labels")
        found = _size(labels) if labels else 0
        if found != images.shape[0]:
            raise ClxaiError(f"{path}: {images.shape[0]} {name}_images but {found} labels, one each is needed")
        if len(images.shape) not in (3, 4):
            shape = list(images.shape)
            raise ClxaiError(f"{path}: {name}_images must be [image, y, x] or [image, y, x, channel]. Found shape {shape}")
        if _channels_first(images.shape):
            shape = list(images.shape)
            raise ClxaiError(f"{path}: {name}_images {shape} has its channels first; store array.transpose(0, 2, 3, 1)")
        if len(images.shape) == 4 and not 1 <= images.shape[3] <= MOST_CHANNELS:
            shape = list(images.shape)
            raise ClxaiError(f"{path}: {name}_images {shape} must have 1..{MOST_CHANNELS} channels, last. Found {shape[3]}")
        if not re.fullmatch(r"\|u1|[<>]f\d", images.descr):
            raise ClxaiError(
                f"{path}: {name}_images: pixels must be uint8, or float in [0, 1]. Found {images.dtype}; {STORE_8_BITS}"
            )
        if not re.fullmatch(r"[|<>][iu]\d", labels.descr):
            raise ClxaiError(f"{path}: labels must be integers 0..C-1. Found {labels.dtype} in {name}_labels")


def _check_evidence(headers: dict[str, Header], path: str | Path) -> None:
    """Raise ClxaiError if some splits have evidence and others none, or if it is not a mask of bytes for each image."""
    present = present_splits(headers)
    having = [name for name in present if f"{name}_evidence" in headers]
    if having and having != present:
        raise ClxaiError(f"{path}: evidence is needed for each split or for none. Found that of {', '.join(having)}")
    for name in having:
        evidence, shape = headers[f"{name}_evidence"], headers[f"{name}_images"].shape[:3]
        if evidence.descr != "|u1" or evidence.shape != shape:
            found = f"{evidence.dtype} of {list(evidence.shape)}"
            raise ClxaiError(f"{path}: {name}_evidence must be uint8 [image, y, x] of {list(shape)}. Found {found}")


def _check_groups(headers: dict[str, Header], path: str | Path) -> None:
    """Raise ClxaiError if some splits have groups and others none, or if there is not one, a number or a text, for each image."""
    present = present_splits(headers)
    having = [name for name in present if f"{name}_groups" in headers]
    if having and having != present:
        raise ClxaiError(f"{path}: groups are needed for each split or for none. Found those of {', '.join(having)}")
    for name in having:
        found, n_images = headers[f"{name}_groups"], headers[f"{name}_images"].shape[0]
        if found.shape != (n_images,) or not re.match(r"[|<>][iuU]", found.descr):
            raise ClxaiError(
                f"{path}: {name}_groups must be {n_images} whole numbers or texts. Found {found.dtype} of {list(found.shape)}"
            )


def _channels_first(shape: tuple[int, ...]) -> bool:
    """Whether [image, a, b, c] reads as [image, channel, y, x]: a may count channels, b and c are too many for that."""
    return len(shape) == 4 and any(shape[1] <= most < min(shape[2:]) for most in (4, MOST_CHANNELS))


def _size(header: Header) -> int:
    size = 1
    for length in header.shape:
        size *= length
    return size
