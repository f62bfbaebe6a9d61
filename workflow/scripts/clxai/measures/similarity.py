"""How alike the maps of a trained network and of its randomised copies look: what the literature measures, beside cross-SRG.

Neither number says whether a map is faithful: a map of noise is least like the trained network's, and one that shows the image is
like it whatever the network learnt. docs/methods.md has the reasons.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import xarray
from jaxtyping import Float
from numpy import ndarray

from clxai.flipping.schema import UNIT
from clxai.measures.explained import Read
from clxai.measures.groups import groups_at
from clxai.measures.reinitialised import parts_of
from clxai.measures.rows import mean_columns
from clxai.names import ALL
from clxai.ranks import rank_correlation
from clxai.runtime.artefacts import read_arrays
from clxai.units.base import Cut

COLUMNS = (
    *("model", "units", "method", "of", "random", "n_parts", "head", "measure", "mean", "ci_low", "ci_high"),
    *("ci_over", "n_seeds", "n_images", "n_undefined"),
)
_WINDOW = 7  # pixels, a side of SSIM's window
Maps = Float[ndarray, "head image y x"]
Found = Float[ndarray, "head image"]


def similarity_table(
    read: Read,
    seeds: Sequence[int],
    cuts: Mapping[str, Cut],
    lent: Sequence[Mapping[str, str]],
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Return mean and 95 % interval of each similarity of own and lent maps, one row per lent map, head, units and measure.

    `read` gives the maps of a model, seed and method; `cuts` are by units; `lent` names model, method, the method whose own map
    it is compared with (`of`), and what is random of the copy. Measures of pixels stand under units `all`.
    `groups` has the group of each image by its number, where the data have groups.
    """
    rows = []
    for one in lent:
        pairs = [[read(one["model"], seed, one[name])["attribution"] for name in ("of", "method")] for seed in seeds]
        heads, of = pairs[0][0]["head"].values.tolist(), groups_at(groups, pairs[0][0]["image"].values)
        for (units, measure), values in over_seeds(pairs, cuts, similarities).items():
            for place, head in enumerate(heads):
                what = {"units": units, "head": head, "measure": measure, "n_parts": len(parts_of(one["random"]))}
                rows.append({**one, **what, **mean_columns(values[:, place], of)})
    return pd.DataFrame(rows, columns=COLUMNS)


def read_cuts(names: Sequence[str], curves: Sequence[str]) -> dict[str, Cut]:
    """Return by units how images are cut, from curves files in the order of the names; the same for all runs of a study."""
    found = {}
    for name, path in zip(names, curves, strict=True):
        labels = torch.from_numpy(read_arrays(path)[UNIT].values.astype(np.int32))
        labels = labels if labels.ndim == 3 else labels[None]
        found[name] = Cut(labels, labels.amax(dim=(1, 2)).long() + 1, None)
    return found


def similarities(own: Maps, other: Maps, cuts: Mapping[str, Cut]) -> Iterator[tuple[str, str, Found]]:
    """Yield units, measure and the similarity of two maps of each head and image; NaN where a map is constant or not finite.

    `spearman`: rank correlation of the units' mean attributions. `ssim`: structural similarity of the maps, each scaled to 0..1
    by its own least and largest value. `_abs`: the same of magnitudes, as the literature often has it.
    """
    for suffix, (one, two) in {"": (own, other), "_abs": (np.abs(own), np.abs(other))}.items():
        for units, cut in cuts.items():
            yield units, f"spearman{suffix}", rank_correlation(*(unit_means(values, cut) for values in (one, two)))
        yield ALL, f"ssim{suffix}", structural_similarity(one, two)


def structural_similarity(one: Maps, two: Maps) -> Found:
    """Return the mean structural similarity [Wang et al. 2004] of maps scaled to 0..1, by scikit-image.

    Its window is 7 px wide, on smaller maps the widest odd number; they are 3 px wide or more.
    """
    from skimage.metrics import structural_similarity as ssim

    side = min(*one.shape[-2:], _WINDOW)
    side -= 1 - side % 2  # odd
    flat = [_scaled(values).reshape(-1, *values.shape[-2:]).astype(np.float64) for values in (one, two)]
    _, whole = ssim(*flat, win_size=side, data_range=1.0, channel_axis=0, full=True)
    inside = slice(side // 2, -(side // 2) or None)  # where the window does not reach over the edge
    return whole[:, inside, inside].mean((1, 2)).reshape(one.shape[:-2])


def _scaled(values: Maps) -> Maps:
    """Return maps with least value 0 and largest 1; NaN where they are constant."""
    low, high = values.min((-2, -1), keepdims=True), values.max((-2, -1), keepdims=True)
    return (values - low) / np.where(high > low, high - low, np.nan)


def unit_means(values: Maps, cut: Cut) -> Float[ndarray, "head image unit"]:
    """Return the mean attribution of each unit; NaN in the places of units that an image lacks."""
    return np.stack([cut.scores(torch.from_numpy(np.ascontiguousarray(of_head))).double().numpy() for of_head in values])


def over_seeds(
    pairs: Sequence[Sequence[xarray.DataArray]],
    cuts: Mapping[str, Cut],
    compare: Callable[[Maps, Maps, Mapping[str, Cut]], Iterator[tuple[str, str, Found]]],
) -> dict[tuple[str, str], ndarray]:
    """Return by units and measure the similarity [seed, head, image] of two maps of each seed."""
    found: dict[tuple[str, str], list[Found]] = {}
    for own, other in pairs:
        for units, measure, values in compare(own.values, other.values, cuts):
            found.setdefault((units, measure), []).append(values)
    return {key: np.stack(values) for key, values in found.items()}
