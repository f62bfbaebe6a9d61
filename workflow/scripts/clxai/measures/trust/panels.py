"""From the table of images to panels: the scores of each model and head by its own explanations, as arrays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from clxai.errors import ClxaiError
from clxai.measures.groups import COLUMN, groups_of
from clxai.measures.trust.base import Method, Panel, alone
from clxai.runtime.artefacts import existing

ROWS = 500_000  # of the table that are read at once
_NAMES = ["model", "units", "method", "scored_by", "fill"]
_KEYS = [*_NAMES, "seed", "image"]


def own_scores(path: str | Path, metrics: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the table of images in which a head scores its own explanation, with these metrics and no other column.

    The table is read in pieces: of a large study it does not fit in memory. Raises ClxaiError if it lacks a column.
    """
    columns = [*_KEYS, "explained_by", *dict.fromkeys(metrics)]
    kinds = dict.fromkeys(metrics, np.float32)  # which holds the seven digits of tables
    try:
        columns += {COLUMN} & set(pd.read_csv(existing(path), nrows=0))
        pieces = pd.read_csv(existing(path), usecols=columns, dtype=kinds, chunksize=ROWS)
        parts = [_own(piece) for piece in pieces]
    except (ValueError, pd.errors.ParserError) as error:
        raise ClxaiError(f"{path}: not a readable table of images ({error})") from error
    names = {name: union_categoricals([part.pop(name) for part in parts]) for name in _NAMES}
    return pd.concat(parts, ignore_index=True).assign(**names).rename(columns={"scored_by": "head"})


def _own(piece: pd.DataFrame) -> pd.DataFrame:
    """Return the own cells of a piece of the table, its names as numbers of names: texts take ten times as much memory."""
    own = piece[piece["explained_by"] == piece["scored_by"]].drop(columns="explained_by")
    return own.astype(dict.fromkeys(_NAMES, "category"))


def panels_of(
    table: pd.DataFrame, metrics: Sequence[str], methods: Sequence[Method], setups: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Panel]:
    """Return by (model, head) the panel of all set-ups (units, fill), its scores [seed, image, setup, method].

    Raises ClxaiError if a run, an image or a method of the study is missing or there twice.
    """
    panels = {}
    for (model, head), part in table.groupby(["model", "head"], sort=False, observed=True):
        seeds, images = np.unique(part["seed"]), np.unique(part["image"])
        own = [method for method in methods if model not in method.absent]
        levels = [seeds, images, pd.MultiIndex.from_tuples(setups), [method.name for method in own]]
        cells = [part["seed"], part["image"], pd.MultiIndex.from_frame(part[["units", "fill"]]), part["method"]]
        places = [pd.Index(level).get_indexer(pd.Index(cell)) for level, cell in zip(levels, cells, strict=True)]
        shape = tuple(map(len, levels))
        flat = np.ravel_multi_index(places, shape) if min(map(min, places)) >= 0 else np.empty(0, int)
        if len(flat) != np.prod(shape) or len(np.unique(flat)) != len(flat):
            raise ClxaiError(f"the table of images has {len(part)} rows of {model}, {head}, the study {np.prod(shape)} runs")
        scores = {}
        for metric in metrics:
            values = np.empty(len(flat), np.float32)
            values[flat] = part[metric].to_numpy()
            scores[metric] = values.reshape(shape)
        panels[model, head] = replace(alone(scores, own, model), groups=groups_of(part))
    return panels


def of_setup(panel: Panel, place: int, setup: tuple[str, str]) -> Panel:
    """Return the panel of one set-up, units and fill, at its place: scores [seed, image, method]."""
    other = None if panel.reference is None else of_setup(panel.reference, place, setup)
    scores = {name: values[:, :, place] for name, values in panel.scores.items()}
    return replace(alone(scores, panel.methods, panel.model, other), setup=setup, groups=panel.groups)


def with_references(
    panels: Mapping[tuple[str, str], Panel], references: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str], Panel]]:
    """Yield each panel with that of its model's reference and the same head, if the study has both."""
    for (model, head), panel in panels.items():
        yield (model, head), replace(panel, reference=panels.get((references.get(model), head)))
