"""The tables of a study as one: each number once, with its interval, below the names of its row.

What a row is about is in columns with the same names in every table; of the other columns some are numbers with an interval, some
its ends, the rest numbers and words without one. The table of images is left out: its numbers are in the means of `summary`.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from clxai.errors import ClxaiError
from clxai.runtime.artefacts import read_table

KEYS = (
    *("measure", "part", "check", "setting", "model", "minus", "seed", "units", "method", "explained_by", "scored_by", "head"),
    *("split", "fill", "order", "fraction", "quantity", "metric", "family", "cpu"),
)
MORE_KEYS = {"power": ("n_seeds", "n_images")}  # of single tables
INTERVALS = {
    "mean": ("ci_low", "ci_high"),
    "difference": ("ci_low", "ci_high"),
    "value": ("ci_low", "ci_high"),
    "excess": ("excess_ci_low", "excess_ci_high"),
    "excess_best": ("excess_best_low", "excess_best_high"),
    "temperature": ("temperature_low", "temperature_high"),
    "srg": ("srg_ci_low", "srg_ci_high"),
}
LEFT_OUT = ("images",)
NAMES = ["table", *KEYS, "n_seeds", "n_images", "number"]  # of the tidy table: which number it is
TIDY = [*NAMES, "value", "low", "high", "text"]


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of a folder of CSV files by name, all but that of images. Raises ClxaiError if there are none."""
    tables = {path.stem: read_table(path) for path in sorted(folder.glob("*.csv")) if path.stem not in LEFT_OUT}
    if not tables:
        raise ClxaiError(f"{folder} holds no tables of a study")
    return tables


def tidy(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return all numbers and words of tables as rows: `table`, names of its row, `number` (its column), `value`, `low`, `high`.

    Names are texts, empty where a table has no such column; `text` holds what is no number, then `value` is undefined. `low` and
    `high` are undefined where a number has no interval. Raises ClxaiError if a table has two rows of the same names.
    """
    parts = [_tidy(name, table) for name, table in sorted(tables.items()) if len(table)]
    return pd.concat(parts, ignore_index=True)[TIDY] if parts else pd.DataFrame(columns=TIDY)


def _tidy(name: str, table: pd.DataFrame) -> pd.DataFrame:
    keys = [column for column in (*KEYS, *MORE_KEYS.get(name, ())) if column in table]
    names = pd.DataFrame("", index=table.index, columns=NAMES).assign(table=name)
    names[keys] = table[keys].map(_as_text)
    if names.duplicated().any():
        raise ClxaiError(f"table {name} holds two rows of {' '.join(filter(None, names[names.duplicated()].iloc[0]))}")
    ends = {end for value, pair in INTERVALS.items() if {value, *pair} <= {*table} for end in pair}
    numbers = [column for column in table if column not in keys and column not in ends]
    return pd.concat([_column(names, table, column) for column in numbers])


def _column(names: pd.DataFrame, table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return one column of a table as rows of the tidy one."""
    found, (low, high) = table[column], INTERVALS.get(column, ("", ""))
    is_number = pd.api.types.is_numeric_dtype(found) and not pd.api.types.is_bool_dtype(found)
    undefined = pd.Series(float("nan"), index=table.index)
    return names.assign(
        number=column,
        value=found.astype(float) if is_number else undefined,
        low=table[low].astype(float) if low in table and high in table else undefined,
        high=table[high].astype(float) if low in table and high in table else undefined,
        text="" if is_number else found.map(_as_text),
    )


def _as_text(value: object) -> str:
    """Return a name as text: numbers with the digits of the tables, nothing for what is undefined."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.7g}"
    return "" if value is None or value is pd.NA else str(value)
