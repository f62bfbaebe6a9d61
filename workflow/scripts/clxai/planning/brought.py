"""What a user brings for a model: weights in a file, checked before any job as far as the config and a header show."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clxai.errors import ClxaiError
from clxai.names import NO_LOSS

SUFFIXES = (".safetensors", ".pt", ".pth")
SEED = "{seed}"  # in a path: the seed of the study
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
