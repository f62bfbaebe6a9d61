"""Groups of images that resemble each other, such as recordings of one speaker: a random factor between seeds and images."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from clxai.runtime.artefacts import read_arrays

COLUMN = "group"  # the variable of prepared labels, [image], and the column of tables of images


def read_groups(labels_path: str | Path) -> pd.Series | None:
    """Return the group of each image of a prepared data set, by the number of the image; None where the data have none."""
    labels = read_arrays(labels_path)
    return labels[COLUMN].to_series() if COLUMN in labels else None


def with_groups(table: pd.DataFrame, groups: pd.Series | None) -> pd.DataFrame:
    """Return a table of images with the group of each as a column; the table itself where the data have no groups."""
    if groups is None or table.empty:
        return table
    table = table.copy()
    table.insert(table.columns.get_loc("image") + 1, COLUMN, groups.loc[table["image"]].to_numpy())
    return table


def groups_of(table: pd.DataFrame) -> Int[ndarray, " image"] | None:
    """Return the number of each image's group, images in ascending order; None where the table has no groups."""
    if COLUMN not in table:
        return None
    images = table.drop_duplicates("image").sort_values("image", kind="stable")
    return numbered(images[COLUMN])


def groups_at(groups: pd.Series | None, images: ndarray) -> Int[ndarray, " image"] | None:
    """Return the number of the group of each of these images; None where the data have no groups."""
    return None if groups is None else numbered(groups.loc[images])


def numbered(groups: pd.Series) -> Int[ndarray, " image"]:
    """Return groups as numbers from 0."""
    return np.unique(groups.to_numpy(), return_inverse=True)[1]
