"""The one error that users are meant to read, and the wording shared by all refusals."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# What to do about pixels that are neither uint8 nor float.
STORE_8_BITS = (
    "where they are 0..255 store array.astype('uint8'), else (array / white).astype('float32'), white 65535 or the largest that "
    "occurs; 8 bits of these are kept"
)


class ClxaiError(ValueError):
    """Wrong config, data or artefact: the message names the key or file, what was found and what is allowed."""


def some_of(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def unknown_name(what: str, name: object, known: Iterable[str]) -> ClxaiError:
    """Return the error for a name that is not among `known`, with the nearest known one."""
    known = sorted(known)
    near = get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ClxaiError(f"unknown {what} {name!r}.{hint} Known: {', '.join(known)}")
