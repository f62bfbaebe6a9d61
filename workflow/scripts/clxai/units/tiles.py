"""Which tilings an image allows; free of torch, so that planning can ask."""

from collections.abc import Mapping, Sequence
from typing import Any

from clxai.errors import ClxaiError


def check_tiles(
    where: str, tiles: Sequence[str | None], options: Mapping[str, Any], sides: tuple[int, int], of: str = ""
) -> None:
    """Raise ClxaiError unless units tile an image of these sides [height, width], at least twice along each that is divided.

    `tiles` names the options that hold height and width of a unit, None for the whole side; `where`
    and `of` name the setting and what the images are of.
    """
    for option, side in zip(tiles, sides, strict=True):
        allowed = [px for px in range(1, side // 2 + 1) if side % px == 0]
        if option is not None and options[option] not in allowed:
            raise ClxaiError(f"{where}.{option} must tile {side} px{of}: one of {allowed}. Got {options[option]}")


def tile_count(tiles: Sequence[str | None], options: Mapping[str, Any], sides: tuple[int, int]) -> int:
    """Return the number of units of an image of these sides."""
    rows, columns = (1 if option is None else side // options[option] for option, side in zip(tiles, sides, strict=True))
    return rows * columns
