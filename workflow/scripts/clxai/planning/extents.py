"""What planning can tell of a data set before it is prepared, as its source tells it: counts, size, content."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clxai.data.sizes import shape_of
from clxai.errors import ClxaiError
from clxai.options import check_options
from clxai.planning.watching import changed_since_download, keep_first, read_known, remember, side_file, state_of
from clxai.registry import declared, keywords_of

_MOST_PARTS = 255  # that a mask of bytes can number


@dataclass(frozen=True)
class Extent:
    """The most images of each split, and height and width of the prepared images in pixels; None where unknown."""

    images: Mapping[str, int | None]
    shape: tuple[int, int] | None

    @property
    def bounds(self) -> dict[str, int | None]:
        """What options of members can be bounded by (`at_most`), by the name that declarations use."""
        return {"training_images": self.images["train"], "image_size": min(self.shape) if self.shape else None}


def measure(entry: Mapping[str, Any], where: str) -> Extent:
    """Return the extent of an entry of `datasets`. Raises ClxaiError if the source finds that it cannot work."""
    extent = _told(entry, "extent")
    counts, shape = extent(entry, where) if extent else ({}, None)
    return Extent(_bounds(entry, counts), shape_of(entry["size"]) or shape)


def has_groups(entry: Mapping[str, Any]) -> bool:
    """Say whether it is known which images of an entry belong together."""
    told = _told(entry, "groups")
    return bool(told and told(entry))


def content(entry: Mapping[str, Any], dataset: str) -> Any:
    """Return a plain value that changes with the images of an entry, as its `watch` says; None where nothing is watched."""
    told, files = _told(entry, "content"), _told(entry, "files")
    if entry["watch"] == "none":
        return None
    if files and entry["download"]:
        return changed_since_download(files(entry), entry["watch"], dataset)
    if files and not (told and entry["watch"] == "content"):
        return state_of(files(entry), entry["watch"], read_known(side_file(dataset)))
    return told(entry) if told else None


def watch_files(config: Mapping[str, Any]) -> None:
    """Read the files of the study's data sets whose content is watched, those that have changed, and keep their digests."""
    for dataset in config["study"]["datasets"]:
        entry = config["datasets"][dataset]
        files = _told(entry, "files")
        if files and entry["download"] and entry["watch"] != "none":
            keep_first(files(entry), entry["watch"], dataset)
        elif files and entry["watch"] == "content" and not _told(entry, "content"):
            remember(files(entry), side_file(dataset))


def parts_of(entry: Mapping[str, Any]) -> int:
    """Return the most parts that the evidence of an entry's images may have; 0 if it is not known where the evidence is."""
    told = _told(entry, "parts")
    return told(entry) if told else _MOST_PARTS * declared("sources")[entry["source"]].semantics["evidence"]


def channels_of(entry: Mapping[str, Any]) -> int | None:
    """Return how many channels the images of an entry have; None where its source cannot tell before they are prepared.

    Nor can it of an entry that lacks what its source needs, or has none: the check of the data set says so.
    """
    source = declared("sources").get(entry["source"])
    if source is None or not all(entry[key] for key in source.semantics["needs"]):
        return None
    told = _told(entry, "channels")
    return told(entry) if told else None


def check_source(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError unless an entry has what its source needs and nothing that only others take, and passes its own check."""
    known, name = declared("sources"), entry["source"]
    semantics = known[name].semantics
    for key in semantics["needs"]:
        if not entry[key]:
            raise ClxaiError(f"{where}.{key} is needed by source {name!r}")
    takes = {*semantics["needs"], *semantics["takes"], *(["arguments"] if semantics["options"] else [])}
    for key in keywords_of("sources")["takes"]["items"]["enum"]:
        if entry[key] and key not in takes:
            raise ClxaiError(f"{where}.{key} is for source {' or '.join(_taking(key))}. Got {entry[key]!r}")
    if "path" in semantics["needs"] and not Path(entry["path"]).exists():
        raise ClxaiError(f"{where}.path: {entry['path']!r} does not exist")
    if semantics["options"]:
        bounds = (semantics["at_most"], semantics["at_least"])
        check_options(entry["arguments"], semantics["options"], f"{where}.arguments", *bounds)
    check = _told(entry, "check")
    if check:
        check(entry, where)
    _check_groups(entry, where)


def _check_groups(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError if an entry says how groups are split, and its source tells none, or says two things at once."""
    for key in ("fold", "mixed_groups"):
        if entry[key] and not has_groups(entry):
            raise ClxaiError(
                f"{where}.{key} is for data whose groups are known, and source {entry['source']!r} tells none here. "
                f"Got {entry[key]}"
            )
    if entry["fold"] and entry["mixed_groups"]:
        raise ClxaiError(f"{where}.fold keeps groups apart: leave out {where}.mixed_groups")


def _taking(key: str) -> list[str]:
    """Return the sources that take a key of an entry."""
    takes = {name: (*source.semantics["needs"], *source.semantics["takes"]) for name, source in declared("sources").items()}
    return sorted(name for name, keys in takes.items() if key in keys)


def _told(entry: Mapping[str, Any], what: str) -> Callable[..., Any] | None:
    """Return a function of the module that an entry's source names for planning; None if there is none."""
    source = declared("sources")[entry["source"]]
    name = source.semantics["planning"]
    if name is None:
        return None
    try:
        return getattr(importlib.import_module(name), what, None)
    except ModuleNotFoundError as error:
        raise ClxaiError(f"{source.file}: source {source.name!r}: planning={name!r} cannot be imported ({error})") from error


def _bounds(entry: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, int | None]:
    """Return the most images of each split, after the splits that the source lacks are drawn and limits are kept.

    How many images whole groups have is for the source to tell: here they are unknown.
    """
    train, test, val = (counts.get(name) or None for name in ("train", "test", "val"))
    apart = has_groups(entry) and not entry["mixed_groups"]
    if train is not None and test is None and not apart:
        test = round(entry["test_fraction"] * train)
        train -= test
    if train is not None and val is None and not apart:
        val = round(entry["val_fraction"] * train)
        train -= val
    found = {"train": train, "val": val, "test": test}
    return {name: _least(count, entry["limit"].get(name)) for name, count in found.items()}


def _least(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)
