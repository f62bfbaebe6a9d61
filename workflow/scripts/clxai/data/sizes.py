"""The size of prepared images as the config gives it: nothing, one number for a square, or height and width."""

from collections.abc import Sequence


def shape_of(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Return height and width in pixels; None where the images keep their own."""
    if size is None:
        return None
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width
