"""Whether a user's files have changed: what planning keeps of them, as `datasets.*.watch` says.

content: the SHA-256 of every file, kept in a side file for as long as its size, time of modification and inode stay. The main
process of Snakemake writes that file while it plans; jobs read it and no image again. stat: size and time of modification.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError
from clxai.runtime.artefacts import atomic
from clxai.runtime.integrity import file_digest

Named = Iterable[tuple[str, Path]]  # files, each with a name that stays when the folder of all moves
Known = Mapping[str, list[Any]]  # by name: size, time of modification in ns, inode, SHA-256

_SETTLED = (
    2_000_000_000  # ns: a file that was modified later than this before it was read may change within one tick of its clock
)
_MUCH = 2**30  # bytes: that reading takes long is said
_READERS = 8  # files are read at a time
_UNREADABLE = "unreadable"  # in place of a digest: its job says why


def side_file(dataset: str) -> Path:
    """Return where the digests of a data set's files are kept."""
    return Path("results") / dataset / "data" / ".watch.json"


def state_of(files: Named, watch: str, known: Known) -> dict[str, Any]:
    """Return the number of files and a SHA-256 over their names and contents, or over names, sizes and times, by `watch`."""
    if watch == "stat":
        lines = {name: _stamp(path)[:2] for name, path in files}
    else:
        lines = {name: digest for name, (*_, digest) in digests(files, known).items()}
    text = json.dumps(sorted(lines.items()))
    return {"files": len(lines), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def digests(files: Named, known: Known) -> dict[str, list[Any]]:
    """Return size, time of modification in ns, inode and SHA-256 of each file; it is read unless the first three are known."""
    found = {name: (path, _stamp(path)) for name, path in files}
    new = [name for name, (_, stamp) in found.items() if known.get(name, [])[:3] != stamp]
    size = sum(found[name][1][0] for name in new)
    if size > _MUCH:
        print(f"reading {len(new)} files, {size / 2**30:.1f} GiB, to see what changed; watch: stat reads none", file=sys.stderr)
    with ThreadPoolExecutor(_READERS) as readers:
        read = dict(zip(new, readers.map(lambda name: _digest(found[name][0]), new), strict=True))
    return {name: [*stamp, read[name] if name in read else known[name][3]] for name, (_, stamp) in found.items()}


def changed_since_download(files: Named, watch: str, dataset: str) -> dict[str, Any] | None:
    """Return the state of the files of a downloaded data set; None while it is the one that was kept first, or none is there.

    A set is not there when its first study is planned, and must not count as another one when the second is. Files that came
    later, of other sets of the root, do not count.
    """
    first = _read_first(dataset)
    own = [(name, path) for name, path in files if name in first.get("names", ())]
    state = state_of(own, watch, read_known(side_file(dataset))) if own else None
    return None if state == first.get(watch, state) else state


def keep_first(files: Named, watch: str, dataset: str) -> None:
    """Keep what a downloaded data set was made of, at the first planning after it was prepared."""
    first, path = _read_first(dataset), _first_file(dataset)
    if watch in first or not path.with_name("images.npy").exists():
        return
    listed = list(files)
    if watch == "content":
        remember(listed, side_file(dataset))
    names = first.get("names", sorted(name for name, _ in listed))
    own = [(name, file) for name, file in listed if name in names]
    kept = {**first, "names": names, watch: state_of(own, watch, read_known(side_file(dataset)))}
    with suppress(OSError, ClxaiError), atomic(path) as temporary:
        temporary.write_text(json.dumps(kept), encoding="utf-8")


def _first_file(dataset: str) -> Path:
    return side_file(dataset).with_name(".downloaded.json")


def _read_first(dataset: str) -> dict[str, Any]:
    """Return the names of the files of a downloaded set, and their state by `watch`; nothing before it was prepared."""
    with suppress(OSError, ValueError):
        first = json.loads(_first_file(dataset).read_text(encoding="utf-8"))
        if isinstance(first, dict) and isinstance(first.get("names"), list):
            return first
    return {}


def read_known(path: Path) -> Known:
    """Return what a side file holds; nothing if it is absent or damaged."""
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(known, dict) and all(isinstance(entry, list) and len(entry) == 4 for entry in known.values()):
            return known
    return {}


def remember(files: Named, path: Path) -> None:
    """Bring a side file up to date, atomically. Where it cannot be written the next call reads the files again."""
    known, now = read_known(path), time.time_ns()
    found = {name: entry for name, entry in digests(files, known).items() if _is_settled(entry, now)}
    if found == known:
        return
    with suppress(OSError, ClxaiError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")


def _is_settled(entry: list[Any], now: int) -> bool:
    """Whether a file cannot change without a new time of modification, since its last one lies far enough back."""
    return entry[3] != _UNREADABLE and entry[1] < now - _SETTLED


def _stamp(path: Path) -> list[int]:
    """Return size, time of modification in ns and inode; zeros where there is no file behind the name."""
    with suppress(OSError):
        status = path.stat()
        return [status.st_size, status.st_mtime_ns, status.st_ino]
    return [0, 0, 0]


def _digest(path: Path) -> str:
    with suppress(OSError):
        return file_digest(path)
    return _UNREADABLE
