"""What a folder of images holds: the images of each split and class, and what is no image of a class, by reason."""

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError
from clxai.names import IMAGE_SUFFIXES, SPLITS

_MOST_COUNTED = 20_000  # images of a split: every call of Snakemake counts them
_SPLIT_OF = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Found:
    """The images of each split, sorted, and what was skipped: names relative to the folder, by reason."""

    images: dict[str, list[Path]]
    skipped: dict[str, list[str]]


def scan(root: Path) -> Found:
    """Return everything below `root`. Raises ClxaiError if it has no images, or splits that cannot be told apart."""
    splits = split_folders(root)
    images: dict[str, list[Path]] = {split: [] for split in SPLITS if split in splits.values()} or {"train": []}
    skipped = defaultdict(list)
    for path, linked in walk(root, splits):
        reason = _reason(path.relative_to(root).parts, splits, linked)
        if reason:
            skipped[reason].append(str(path.relative_to(root)))
        else:
            images[splits.get(path.relative_to(root).parts[0], "train")].append(path)
    filled = {path.parent for listed in images.values() for path in listed}
    skipped["empty class"] = [str(path.relative_to(root)) for path in _classes(root, splits) if path not in filled]
    skipped = {reason: sorted(names) for reason, names in sorted(skipped.items()) if names}
    for split, listed in images.items():
        if not listed:
            seen = ", ".join(f"{len(names)} {reason} ({names[0]})" for reason, names in skipped.items()) or "nothing"
            raise ClxaiError(f"{root}: no images found as {{class}}/*.png, .jpg, .jpeg, .webp or .bmp in {split}. Found: {seen}")
    return Found({split: sorted(listed) for split, listed in images.items()}, skipped)


def split_folders(root: Path) -> dict[str, str]:
    """Return {folder: split}; empty if the folders are classes. `train` is a class if it holds images itself.

    Raises ClxaiError if a split has two folders, if classes and splits mix, or if all classes are called like splits.
    """
    folders = [path for path in _folders(root) if path.name in _SPLIT_OF]
    if "train" not in [path.name for path in folders]:
        return {}
    holding = [path.name for path in folders if _holds_images(path)]
    if "train" in holding:
        if any(_holds_classes(path) for path in folders) or len(folders) > 1:
            raise ClxaiError(
                f"{root}: of {', '.join(path.name for path in folders)}, {', '.join(holding)} hold images without class folders; "
                "make them {split}/{class}/*.png, or rename the class"
            )
        return {}
    splits = {path.name: _SPLIT_OF[path.name] for path in folders}
    if len(set(splits.values())) < len(splits):
        raise ClxaiError(f"{root}: {', '.join(name for name in splits if splits[name] == 'val')} are one split; keep one of them")
    return splits


def extent(entry: Mapping[str, Any], where: str) -> tuple[dict[str, int], None]:
    """Return the images of each split, none of them where there are too many to count; sizes are not read."""
    return count_images(Path(entry["path"]), _MOST_COUNTED), None


def channels(entry: Mapping[str, Any]) -> int:
    """Return the channels of the images as they are read: colours unless `grey` is set."""
    return 1 if entry["grey"] else 3


def files(entry: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each image of a class: what planning watches."""
    root = Path(entry["path"])
    yield from ((name.as_posix(), path) for name, path in _images(root, split_folders(root)))
    if entry["groups"]:
        yield "groups", Path(entry["groups"])


def groups(entry: Mapping[str, Any]) -> bool:
    """Say whether a file tells which images belong together."""
    return bool(entry["groups"])


def check(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError if the file of groups is not there."""
    if entry["groups"] and not Path(entry["groups"]).is_file():
        raise ClxaiError(f"{where}.groups: {entry['groups']!r} is not a file")


def groups_of(names: Sequence[str], path: str | Path) -> list[str]:
    """Return the group of each image by a CSV file of `name` and `group`. Raises ClxaiError unless each has exactly one."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"name", "group"} <= set(rows.fieldnames or ()):
            raise ClxaiError(f"{path}: needs the columns name and group. Found {', '.join(rows.fieldnames or ()) or 'nothing'}")
        found = [(row["name"], row["group"]) for row in rows]
    told = dict(found)
    for name in names:
        if not told.get(name):
            raise ClxaiError(f"{path}: no group of {name}; each image needs one")
    if len(told) < len(found):
        twice = next(name for name, count in Counter(name for name, _ in found).items() if count > 1)
        raise ClxaiError(f"{path}: {twice} is there twice; each image needs one group")
    return [told[name] for name in names]


def count_images(root: Path, most: int) -> dict[str, int]:
    """Count the images of each split; nothing where one has `most` or more."""
    splits, counts = split_folders(root), defaultdict(int)
    for name, _ in _images(root, splits):
        split = splits.get(name.parts[0], "train")
        counts[split] += 1
        if counts[split] == most:
            return {}
    return dict(counts)


def _images(root: Path, splits: dict[str, str]) -> Iterator[tuple[Path, Path]]:
    """Yield the path from the root, and the path, of each image of a class."""
    for path, linked in walk(root, splits):
        name = path.relative_to(root)
        if _reason(name.parts, splits, linked) is None:
            yield name, path


def walk(root: Path, splits: dict[str, str]) -> Iterator[tuple[Path, bool]]:
    """Yield every file below `root`, and whether it is a link to a folder instead, which is not followed.

    Links are followed as far down as class folders, and no farther, so that no circle is endless.

    Raises ClxaiError if a folder cannot be read.
    """
    deepest = 2 if splits else 1
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        place = Path(folder)
        if len(place.relative_to(root).parts) >= deepest:
            links = [name for name in folders if (place / name).is_symlink()]
            folders[:] = [name for name in folders if name not in links]
            yield from ((place / name, True) for name in links)
        yield from ((place / name, False) for name in files)


def _refuse(error: OSError) -> None:
    raise ClxaiError(f"{error.filename}: the folder cannot be read ({error.strerror})")


def _reason(parts: tuple[str, ...], splits: dict[str, str], linked: bool) -> str | None:
    """Return why a file, or a link to a folder, is skipped, by its path from the root; None if it is an image of a class."""
    depth = 3 if splits else 2
    if any(map(_hidden, parts)):
        return "hidden"
    if splits and parts[0] not in splits:
        return "beside the splits"
    if linked:
        return "link below a class"
    if Path(parts[-1]).suffix.lower() not in IMAGE_SUFFIXES:
        return "other suffix"
    return None if len(parts) == depth else "nested" if len(parts) > depth else "outside the classes"


def _hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path.name))


def _classes(root: Path, splits: dict[str, str]) -> list[Path]:
    return [path for name in splits for path in _folders(root / name)] if splits else _folders(root)


def _holds_images(folder: Path) -> bool:
    return any(not _hidden(path.name) and path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def _holds_classes(folder: Path) -> bool:
    return any(map(_holds_images, _folders(folder)))
