"""The page of a study: one HTML file with all that it needs, and slices beside it where there are too many to stand in it.

A page opened from disk may fetch nothing, but may add a script: a slice beside the page is a file that hands its text over.
"""

import json
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from clxai.explorer.packing import Slice, pack
from clxai.runtime.artefacts import write_text

ASSETS = Path(__file__).parent / "assets"
LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
SCRIPTS = ("slices.js", "state.js", "drawing.js", "charts.js", "explorer.js")
INLINE_BYTES = 8_000_000  # of slices that stand in the page itself


def write_page(title: str, slices: Iterable[tuple[str, Slice]], page: str | Path, folder: str | Path) -> int:
    """Write the page, and those slices that do not fit into it as scripts in a folder beside it; return the bytes of all slices.

    Slices stand in the page as long as it has room, in their order; the first one always does.
    """
    inline: dict[str, str] = {}
    room, total = INLINE_BYTES, 0
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in slices:
        text = pack(content)
        total += len(text)
        if len(text) <= room or not inline:
            inline[name] = text
            room -= len(text)
        else:
            room = 0  # what comes later is looked at later
            write_text(f'explorerSlice({json.dumps(name)},"{text}");\n', Path(folder) / file_of(name))
    write_text(html(title, inline, Path(folder).name), page)
    return total


def file_of(name: str) -> str:
    """Return the file of a slice that stands beside the page."""
    return f"{name.replace('/', '.')}.js"


def html(title: str, inline: dict[str, str], folder: str) -> str:
    """Return the page with these slices in it; others are looked for in the folder."""
    parts = {"title": escape(title), "style": asset("explorer.css"), "folder": escape(folder), "notice": notice()}
    parts["libraries"] = "\n".join(script(name) for name in LIBRARIES)
    parts["scripts"] = "\n".join(script(name) for name in SCRIPTS)
    parts["slices"] = "\n".join(blocks(inline))
    text = asset("explorer.html")
    for name, value in parts.items():
        text = text.replace(f"<!--{name}-->", value)
    return text


def script(name: str) -> str:
    """Return an asset as a script element."""
    return f"<script>{asset(name)}</script>"


def blocks(inline: dict[str, str]) -> Iterator[str]:
    """Yield slices as elements that a browser neither runs nor parses."""
    for name, text in inline.items():
        yield f'<script type="text/plain" data-slice="{escape(name)}">{text}</script>'


def asset(name: str) -> str:
    """Return the text of a file of the page."""
    return (ASSETS / name).read_text(encoding="utf-8")


def notice() -> str:
    """Return licences and copyrights of what is bundled, as a comment."""
    return f"<!--\n{asset('vendor/NOTICE')}\n-->"
