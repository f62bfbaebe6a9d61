"""A page as Markdown and as HTML, the second for Snakemake's report, which shows no Markdown."""

import base64
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from clxai.runtime.artefacts import write_text
from clxai.verdict.blocks import Block

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#222}li{margin:.4em 0}"
    "small{color:#666;display:block}table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
    "th,td{border:1px solid #ccc;padding:.2em .5em;text-align:left}"
    "img{image-rendering:pixelated;border:1px solid #ccc}code{background:#f2f2f2;padding:0 .2em}"
)


def write_page(blocks: Iterable[Block], markdown_path: str | Path, html_path: str | Path) -> None:
    """Write a page in both forms, UTF-8."""
    blocks = list(blocks)
    for text, path in ((markdown(blocks), markdown_path), (html(blocks), html_path)):
        write_text(text, path)


def markdown(blocks: Iterable[Block]) -> str:
    """Return the page as Markdown."""
    return "\n".join(_as_markdown(block) for block in blocks)


def _as_markdown(block: Block) -> str:
    if block.items:
        return "".join(f"- {text}\n" + (f"  *{rows.replace('*', '')}*\n" if rows else "") for text, rows in block.items)
    if block.header:
        lines = (block.header, ("---",) * len(block.header), *block.rows)
        return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
    if block.pictures:
        return "".join(f"*{text}*\n" for text, _ in block.pictures)
    return f"{'#' * block.level}{' ' if block.level else ''}{block.text}\n"


def html(blocks: Iterable[Block]) -> str:
    """Return the page as one HTML file that needs no other."""
    blocks = list(blocks)
    body = "\n".join(_as_html(block) for block in blocks)
    head = f'<meta charset="utf-8"><title>{escape(blocks[0].text)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _as_html(block: Block) -> str:
    if block.items:
        rows = [f"<li>{_inline(text)}{f'<small>{escape(rows)}</small>' if rows else ''}</li>" for text, rows in block.items]
        return "<ul>\n" + "\n".join(rows) + "\n</ul>"
    if block.header:
        lines = [("th", block.header), *(("td", row) for row in block.rows)]
        cells = ["".join(f"<{kind}>{_inline(cell)}</{kind}>" for cell in line) for kind, line in lines]
        return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in cells) + "\n</table>"
    if block.pictures:
        return "\n".join(_as_picture(*picture) for picture in block.pictures)
    return f"<h{block.level}>{_inline(block.text)}</h{block.level}>" if block.level else f"<p>{_inline(block.text)}</p>"


def _as_picture(text: str, png: bytes) -> str:
    return f'<img alt="{escape(text)}" title="{escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _inline(text: str) -> str:
    """Return a text with its code and bold marks as HTML."""
    safe = escape(text, quote=False)
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", re.sub(r"`(.+?)`", r"<code>\1</code>", safe))
