"""The page of a study's methods: what each map is, what it was made with, what stood for nothing, how many say nothing."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from clxai.measures.methods import JOINED
from clxai.verdict.blocks import Block

Preview = UInt8[ndarray, "reference channel y x"]
INTRODUCTION = (
    "Every map explains the log-odds m of the class that a head predicts. A map is about one image unless the table says "
    "otherwise; means over images, in figures and tables, are aggregated, whatever they are a mean of. Values are brought to "
    "pixels from what they belong to: a value of the input, a unit of the flipping, a place of a layer. Negative values of a "
    "method with signs speak against the class. A map that is constant or not finite is ranked at random; such maps, and those "
    "that are 0 everywhere, stay in all means."
)
_ABOUT = {"local": "one image", "aggregated": "a sample of images"}
_CHANCE = {"none": "none", "keyed": "keyed by seed and image"}
_CHANNELS = {"sum": "sum", "abs_sum": "sum of magnitudes", "mean": "mean", "none": "one map already"}
_ADDS_UP = {"none": "no", "exact": "to m(x) - m(b)", "expectation": "to m(x) - m(b), in expectation"}
_HEADER = ("method", "families", "about", "values of a", "signs", "chance", "channels", "adds up", "maps", "at random", "all 0")
_HEIGHT, _GAP = 48, 3  # of a picture and between two, in pixels


def methods_page(
    name: str, dataset: str, table: pd.DataFrame, texts: Mapping[str, str], previews: Mapping[str, Preview]
) -> list[Block]:
    """Return the blocks of the page, methods in the order of `texts`, which has the first sentence of each.

    `table` is `tables/methods.csv`, `previews` the first images that stood for nothing, of the methods that have any.
    """
    rows = table.fillna("").astype(str).set_index("method").to_dict("index")
    blocks = [
        Block(f"Methods: {name}, {dataset}", level=1),
        Block(INTRODUCTION),
        Block(header=_HEADER, rows=_overview(rows, texts)),
    ]
    blocks.append(Block("What each one ran with", level=2))
    for method, text in texts.items():
        blocks += _section(method, rows[method], text, previews.get(method))
    return blocks


def _overview(rows: Mapping[str, Mapping[str, str]], order: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return one line for each method."""
    return tuple((f"`{name}`", *_line(rows[name])) for name in order)


def _line(row: Mapping[str, str]) -> Iterator[str]:
    yield row["families"]
    yield _of_each(row["scope"], _ABOUT)
    yield row["aligned_to"]
    yield _of_each(row["signed"], {"1": "yes", "0": "no"})
    yield _of_each(row["seeding"], _CHANCE)
    yield _of_each(row["reduction"], _CHANNELS)
    yield _of_each(row["complete"], _ADDS_UP)
    yield from (row[count] for count in ("n_maps", "n_degenerate", "n_all_zero"))


def _of_each(values: str, words: Mapping[str, str]) -> str:
    """Return in words a value, or each of those that differ between runs."""
    return JOINED.join(words[value] for value in values.split(JOINED))


def _section(method: str, row: Mapping[str, str], text: str, preview: Preview | None) -> Iterator[Block]:
    """Yield what one method ran with."""
    member = "" if row["member"] == method else f" (`{row['member']}`)"
    yield Block(f"`{method}`{member}", level=3)
    yield Block(text)
    told = {"Options": row["options"], "Made from the maps of": row["borrowed"], "Also returns": row["extras"]}
    items = [(f"**{what}** {words}", "") for what, words in told.items() if words]
    yield Block(items=(*items, (f"**Baseline** {_baseline(row)}", _digest(row))))
    if preview is not None:
        yield Block(pictures=((f"what stands for nothing to {method}", strip(preview)),))


def _baseline(row: Mapping[str, str]) -> str:
    """Return in words what stood for nothing."""
    if row["baseline"] == "none":
        return "none"
    number = f"numbers {row['baseline_images']}" if row["baseline_images"] else "one for each image that is explained"
    kind = f"{row['baseline_dtype']} [{row['baseline_shape'].replace(' ', ', ')}]"
    return f"`{row['baseline']}`: {row['baseline_source']}; {number}; handed over {row['baseline_space']}, {kind}"


def _digest(row: Mapping[str, str]) -> str:
    """Return the digest of what was handed over, or of how many there were."""
    if row["baseline"] == "none":
        return ""
    several = int(float(row["n_baselines"])) > 1
    return f"{row['n_baselines']} different ones over models and seeds" if several else f"SHA-256 {row['baseline_sha256']}"


def strip(images: Preview) -> bytes:
    """Return pictures side by side as PNG, enlarged by whole pixels; three channels are colours, any other number its mean."""
    shown = images if images.shape[1] == 3 else images.mean(axis=1, keepdims=True).round().astype(np.uint8)
    times = max(1, _HEIGHT // shown.shape[2])
    large = shown.repeat(times, axis=2).repeat(times, axis=3).transpose(0, 2, 3, 1)
    gap = np.full((large.shape[1], _GAP, large.shape[3]), 255, np.uint8)
    row: Sequence[Any] = [part for image in large for part in (image, gap)][:-1]
    whole, written = np.concatenate(row, axis=1), io.BytesIO()
    Image.fromarray(whole if whole.shape[2] == 3 else whole[:, :, 0]).save(written, "PNG", optimize=True)
    return written.getvalue()
