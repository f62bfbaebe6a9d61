"""The pieces of a page, which `rendering` writes as Markdown and as HTML."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A piece of a page: a heading (`level`), a paragraph, a list of (sentence, rows), a table (`header`, rows), or pictures.

    A picture is what it shows, and its bytes as PNG.
    """

    text: str = ""
    level: int = 0
    items: tuple[tuple[str, str], ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    pictures: tuple[tuple[str, bytes], ...] = ()
