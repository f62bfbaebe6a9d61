"""What a user brings: the weights of a model, the maps of a method, checked before any job as far as config and headers show."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clxai.data.npz import array_headers
from clxai.errors import ClxaiError, unknown_name
from clxai.names import HEAD_PLACE, MAP_ARRAYS, NO_LOSS
from clxai.planning.choices import chosen, heads_of, semantics_of
from clxai.planning.extents import Extent
from clxai.planning.needed import maps_needed
from clxai.registry import keywords_of

SUFFIXES = (".safetensors", ".pt", ".pth")
SEED = "{seed}"  # in a path: the seed of the study
MAP_SUFFIXES = (".npy", ".npz", ".nc")
ORDERS = ("sample", "index", "crc32", "name")  # of a user's maps
_PLACES = ("dataset", "model", "seed", "sample")  # of a path, beside the head
_MOST_HEADER = 100_000_000  # bytes, as the format allows


def weights_of(config: Mapping[str, Any], model: str, seed: int | str) -> str | None:
    """Return the file of the weights that a model brings, for a seed; None if it brings none."""
    path = config["models"][model]["weights"]
    return None if path is None else path.replace(SEED, str(seed))


def check_weights(config: Mapping[str, Any], model: str) -> None:
    """Raise ClxaiError if the weights that a model brings cannot be: no such file, another format, one file for several seeds."""
    recipe, where = config["models"][model], f"models.{model}"
    if recipe["loss"] == NO_LOSS and recipe["epochs"]:
        raise ClxaiError(f"{where}.epochs must be 0 for a model of loss {NO_LOSS}. Got {recipe['epochs']}")
    if recipe["weights"] is None:
        return
    if recipe["start"] is not None:
        raise ClxaiError(f"{where}: give start or weights, not both. Got {recipe['start']!r} and {recipe['weights']!r}")
    seeds = config["study"]["seeds"]
    if len(seeds) > 1 and SEED not in recipe["weights"]:
        raise ClxaiError(
            f"{where}.weights: one file cannot stand for {len(seeds)} trainings: put {SEED} into its path, or set study.seeds "
            f"to one. Got {recipe['weights']!r}"
        )
    for seed in seeds:
        _check_file(Path(weights_of(config, model, seed)), f"{where}.weights")


def _check_file(path: Path, where: str) -> None:
    if path.suffix not in SUFFIXES:
        raise ClxaiError(f"{where}: {path} must end with {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ClxaiError(f"{where}: {str(path)!r} does not exist")
    if path.suffix == ".safetensors" and not _has_header(path):
        raise ClxaiError(f"{where}: {path} is not a readable safetensors file")


def _has_header(path: Path) -> bool:
    """Say whether a file begins as safetensors do: with the length of a JSON object of tensors, and that object."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_MOST_HEADER, path.stat().st_size):
            return False
        try:
            return isinstance(json.loads(file.read(length)), dict)
        except ValueError:
            return False


def is_brought(config: Mapping[str, Any], method: str) -> bool:
    """Say whether the maps of a method are a user's, in files."""
    return semantics_of(config, "methods", method)["borrows"] == "file"


def map_pattern(config: Mapping[str, Any], job: Any) -> str:
    """Return the path of the maps that a user brings for a job, with the place of the head left open."""
    path = os.path.expanduser(chosen(config, "methods", job.method)[1]["path"])  # noqa: PTH111, which needs a known user
    for place in _PLACES:
        path = path.replace(f"{{{place}}}", str(getattr(job, place)))
    return path


def map_files_of(config: Mapping[str, Any], job: Any) -> list[str]:
    """Return the files that a job reads a user's maps from, with that of their ids; none for other methods."""
    if not is_brought(config, job.method):
        return []
    pattern, ids = map_pattern(config, job), chosen(config, "methods", job.method)[1]["ids"]
    return list(
        dict.fromkeys([*(pattern.replace(HEAD_PLACE, head) for head in heads_of(config, job.model)), *([ids] if ids else [])])
    )


def check_maps(config: Mapping[str, Any], dataset: str, extent: Extent) -> None:
    """Raise ClxaiError if maps that a user brings for a data set cannot be: undeclared, missing, of another number or size."""
    brought = [maps for maps in maps_needed(config) if is_brought(config, maps.method)]
    for method in dict.fromkeys(maps.method for maps in brought):
        _check_declared(config, method)
    for maps in brought:
        order = chosen(config, "methods", maps.method)[1]["order"]
        for seed in config["study"]["seeds"]:
            job = SimpleNamespace(**{**maps._asdict(), "seed": seed, "dataset": dataset})
            for file in map_files_of(config, job):
                where = f"methods.{maps.method}.{'path' if file.endswith(MAP_SUFFIXES) else 'ids'}"
                if not Path(file).is_file():
                    raise ClxaiError(f"{where}: {file!r} does not exist")
                count = config["samples"][maps.sample]["images"] if order == "sample" else None
                _check_shape(Path(file), where, count, extent.shape)


def _check_declared(config: Mapping[str, Any], method: str) -> None:
    """Raise ClxaiError unless everything is declared that could else only be guessed."""
    options, where, study = chosen(config, "methods", method)[1], f"methods.{method}", config["study"]
    if not isinstance(options["path"], str) or not options["path"].endswith(MAP_SUFFIXES):
        raise ClxaiError(f"{where}.path must name a file that ends with {', '.join(MAP_SUFFIXES)}. Got {options['path']!r}")
    if options["order"] not in ORDERS:
        raise ClxaiError(f"{where}.order must say whose maps these are, one of {', '.join(ORDERS)}. Got {options['order']!r}")
    if not isinstance(options["signed"], bool):
        raise ClxaiError(
            f"{where}.signed must be true, if negative values speak against the class, or false. Got {options['signed']!r}"
        )
    reductions = keywords_of("methods")["reduction"]["enum"]
    if options["channels"] is not None and options["channels"] not in reductions:
        raise ClxaiError(f"{where}.channels: {unknown_name('reduction', options['channels'], reductions)}")
    places = re.findall(r"\{(\w*)\}", options["path"])
    for place in places:
        if place not in (*_PLACES, "head"):
            raise ClxaiError(f"{where}.path: {unknown_name('place', place, (*_PLACES, 'head'))}")
    several = {"dataset": study["datasets"], "model": study["models"], "seed": study["seeds"]}
    for place, names in several.items():
        if len(names) > 1 and place not in places and not options["shared"]:
            raise ClxaiError(
                f"{where}.path: one file for {len(names)} {place}s: put {{{place}}} into it, or set shared: true if the maps are "
                f"meant for all. Got {options['path']!r}"
            )


def _check_shape(file: Path, where: str, count: int | None, shape: tuple[int, int] | None) -> None:
    """Raise ClxaiError if the header of an npy or npz file shows maps of another number, kind or size; others are not read."""
    headers = array_headers(file) if file.suffix in (".npy", ".npz") else {}
    named = [headers[name] for name in MAP_ARRAYS if name in headers] or [
        header for header in headers.values() if len(header.shape) > 2 or file.suffix == ".npy"
    ]
    for header in named[:1]:
        found = list(header.shape)
        if len(found) not in (3, 4):
            raise ClxaiError(f"{where}: {file}: maps must be [image, y, x] or [image, channel, y, x]. Found shape {found}")
        if not re.fullmatch(r"[|<>=][fiub]\d", header.descr):
            raise ClxaiError(f"{where}: {file}: maps must be numbers. Found {header.dtype}")
        if count is not None and found[0] != count:
            raise ClxaiError(f"{where}: {file}: {found[0]} maps, but the sample has {count} images")
        if shape is not None and tuple(found[-2:]) != tuple(shape):
            raise ClxaiError(f"{where}: {file}: maps are of {found[-2:]} (height, width), the images of {list(shape)}")
