"""What a folder of recordings holds, read from the names of its files by a pattern with named fields, while planning."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from clxai.data.groups import split_by_group
from clxai.data.mel import arguments_of, check_mel, mel_settings
from clxai.errors import ClxaiError
from clxai.names import SPLITS

PLACES = ("centre", "keyed")
LEVELS = ("peak", "none")
_SHOWN = 5  # names in an error
_HELP = "such as '{label}_{group}_{index}.wav', or '{group}/{label}_{group}_{index}.wav' where folders are speakers"


@dataclass(frozen=True)
class Found:
    """The recordings of a folder, sorted by name relative to it, with the fields of their names; what was skipped, by reason."""

    names: list[str]
    fields: list[Mapping[str, str]]
    skipped: dict[str, list[str]]

    def column(self, field: str) -> list[str]:
        """Return a field of all names; empty where the pattern has none of that name."""
        return [fields[field] for fields in self.fields if field in fields]


def expression(pattern: str, where: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern: a field is text without a slash, the same text wherever it is repeated.

    Raises ClxaiError unless it has the field `label`, and fields that are names (`index`: a whole number).
    """
    parts, seen = [], set()
    try:
        for literal, field, _, _ in Formatter().parse(pattern):
            parts.append(re.escape(literal))
            if field is not None:
                text = r"\d+" if field == "index" else "[^/]+?"
                parts.append(f"(?P={field})" if field in seen else f"(?P<{field}>{text})" if field else text)
                seen.add(field)
        compiled = re.compile("".join(parts))
    except (ValueError, re.error) as error:
        raise ClxaiError(f"{where}: {pattern!r} is no pattern of file names, {_HELP} ({error})") from error
    if "label" not in seen:
        raise ClxaiError(f"{where} must name the class by {{label}}, {_HELP}. Got {pattern!r}")
    return compiled


def scan(entry: Mapping[str, Any], where: str = "datasets") -> Found:
    """Return what lies in the folder of an entry. Raises ClxaiError if nothing fits its pattern."""
    root, pattern = Path(entry["path"]), arguments_of(entry)["pattern"]
    fits, names, fields = expression(pattern, f"{where}.arguments.pattern"), [], []
    skipped = defaultdict(list)
    for name in _below(root):
        match = fits.fullmatch(name)
        hidden = any(part.startswith(".") for part in name.split("/"))
        if match and not hidden:
            names.append(name)
            fields.append(match.groupdict())
        else:
            skipped["hidden" if hidden else "another name" if name.lower().endswith(".wav") else "other suffix"].append(name)
    if not names:
        seen = ", ".join(f"{len(listed)} of {reason} ({listed[0]})" for reason, listed in skipped.items()) or "nothing"
        raise ClxaiError(f"{where}.arguments.pattern: no file below {root} is called like {pattern!r}. Found: {seen}")
    return Found(names, fields, dict(sorted(skipped.items())))


def _below(root: Path) -> list[str]:
    if not root.is_dir():
        raise ClxaiError(f"datasets: path {str(root)!r} is not a folder")
    return sorted(Path(folder, file).relative_to(root).as_posix() for folder, _, files in os.walk(root) for file in files)


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of labels: by number where they are numbers, else by name."""
    return tuple(sorted(set(labels), key=lambda label: (not label.isdigit(), int(label) if label.isdigit() else 0, label)))


def own_split(found: Found, entry: Mapping[str, Any]) -> list[int]:
    """Return the split that the names give: 2, test, where their `index` is below `test_below`, else 0."""
    below = arguments_of(entry)["test_below"]
    return [2 if below and int(fields["index"]) < below else 0 for fields in found.fields]


def check(entry: Mapping[str, Any], where: str) -> None:
    """Raise ClxaiError if settings or names cannot work, or if there are not as many as the entry expects."""
    own = arguments_of(entry)
    for key, known in (("place", PLACES), ("level", LEVELS)):
        if own[key] not in known:
            raise ClxaiError(f"{where}.arguments.{key} must be {' or '.join(known)}. Got {own[key]!r}")
    check_mel(entry, where)
    found = scan(entry, where)
    if own["test_below"] and not found.column("index"):
        raise ClxaiError(f"{where}.arguments.test_below needs the field {{index}} in {where}.arguments.pattern")
    expected = {"expect_recordings": found.names, "expect_classes": found.column("label"), "expect_groups": found.column("group")}
    for key, there in expected.items():
        different = sorted(set(there))
        if own[key] and own[key] != len(different):
            names = ", ".join(different[:_SHOWN])
            raise ClxaiError(
                f"{where}.arguments.{key} is {own[key]}, and pattern {own['pattern']!r} finds {len(different)} in "
                f"{len(found.names)} recordings: {names}"
            )


def extent(entry: Mapping[str, Any], where: str) -> tuple[dict[str, int], tuple[int, int]]:
    """Return the recordings of each split, and mels and frames of their spectrograms."""
    found, mel = scan(entry, where), mel_settings(entry)
    split = own_split(found, entry)
    if groups(entry) and not entry["mixed_groups"]:
        split = split_by_group(found.column("group"), split, entry)
    counts = Counter(split)
    return {name: counts[code] for code, name in enumerate(SPLITS) if counts[code]}, (mel.mels, mel.frames)


def groups(entry: Mapping[str, Any]) -> bool:
    """Say whether the names tell the group of a recording."""
    return "group" in expression(arguments_of(entry)["pattern"], "datasets.*.arguments.pattern").groupindex


def channels(entry: Mapping[str, Any]) -> int:
    """Return the channels of the images: a level in dB."""
    return 1


def files(entry: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """Return name and path of each recording: what planning watches."""
    return [(name, Path(entry["path"]) / name) for name in scan(entry).names]
