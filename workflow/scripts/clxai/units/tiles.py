"""Which tilings an image allows, and how many of its units a share is; free of torch, so that planning can ask."""

import math
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


def whole_units(share: float | int, n_units: int) -> int:
    """Return floor(share * n_units); a product that is whole but for rounding is whole."""
    return math.floor(share * n_units + 1e-9)


def check_share(share: float | int, n_units: float | int, where: str, of: str) -> None:
    """Raise ClxaiError if a share of so many units is not one unit; `where` names the key of the share, `of` what is cut."""
    if n_units < math.inf and whole_units(share, int(n_units)) < 1:
        raise ClxaiError(
            f"{where} must be at least 1 unit of {int(n_units)}, {math.ceil(1e4 / n_units) / 1e4:g}, of {of}, or 0 for no masks; "
            f"smaller units need less. Got {share}"
        )
