"""Splits that keep groups apart: all images of a speaker, patient or scene lie in one split. Nothing heavy is imported.

Groups are taken in an order that depends on the seed and on their names alone, so that planning and the job agree.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from clxai.errors import ClxaiError, some_of
from clxai.keys import key_of
from clxai.names import SPLITS

_SHOWN = 5  # groups that an error names
_FEWEST = 3  # groups, or folds: one for each split


def split_by_group(groups: Sequence[str], split: Sequence[int], entry: Mapping[str, Any]) -> list[int]:
    """Return the split of each image, 0 train, 1 val, 2 test, such that none of them shares a group with another.

    `split` are those of the source; one that it lacks is drawn from its training groups: as many as come nearest to the entry's
    `test_fraction` or `val_fraction` of the images, at least one. With `fold` [k, n] the groups are dealt out to n blocks, k is
    test, the next one val and all others train. Raises ClxaiError if splits of the source share groups, or groups are too few.
    """
    check_disjoint(groups, split)
    if entry["fold"]:
        return _folded(groups, split, entry)
    found = dict(zip(groups, split, strict=True))
    for name in ("test", "val"):
        code = SPLITS.index(name)
        if code in split:
            continue
        left = Counter(group for group in groups if found[group] == 0)
        if len(left) < 2:
            raise ClxaiError(f"datasets: {len(left)} groups ({_listed(left)}) are too few to draw {name} from and to keep train")
        found |= dict.fromkeys(_nearest(left, entry[f"{name}_fraction"], entry["seed"]), code)
    return [found[group] for group in groups]


def check_disjoint(groups: Sequence[str], split: Sequence[int]) -> None:
    """Raise ClxaiError if images of one group lie in several splits; those in none, -1, do not count."""
    pairs = set(zip(groups, split, strict=True))
    shared = {name: {group for group, code in pairs if code == place} for place, name in enumerate(SPLITS)}
    for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
        both = sorted(shared[one] & shared[other])
        if both:
            raise ClxaiError(
                f"datasets: {len(both)} groups lie in {one} and in {other} ({_listed(both)}), so that a network can know them: "
                "remove the source's own splits, or accept it by mixed_groups: true"
            )


def _folded(groups: Sequence[str], split: Sequence[int], entry: Mapping[str, Any]) -> list[int]:
    number, of = entry["fold"]
    if any(split):
        raise ClxaiError("datasets: fold is for sources that have no splits of their own; leave it out, or remove these")
    ordered = _ordered(groups, entry["seed"])
    if not _FEWEST <= of <= len(ordered) or not 0 <= number < of:
        raise ClxaiError(
            f"datasets: fold must be [k, n] with {_FEWEST} <= n <= {len(ordered)}, the groups, and 0 <= k < n. "
            f"Got {list(entry['fold'])}"
        )
    codes = {number: SPLITS.index("test"), (number + 1) % of: SPLITS.index("val")}
    found = {group: codes.get(place % of, 0) for place, group in enumerate(ordered)}
    return [found[group] for group in groups]


def _ordered(groups: Sequence[str] | Mapping[str, int], seed: int) -> list[str]:
    return sorted(set(groups), key=lambda group: key_of("groups", seed, group))


def _nearest(counts: Mapping[str, int], fraction: float, seed: int) -> list[str]:
    """Return the first groups in order whose images come nearest to a fraction of all; at least one, and not all."""
    ordered = _ordered(counts, seed)
    wanted, sums = fraction * sum(counts.values()), list(accumulate(counts[group] for group in ordered))
    best = min(range(len(ordered) - 1), key=lambda last: abs(sums[last] - wanted))
    return ordered[: best + 1]


def _listed(groups: Sequence[str] | Mapping[str, int]) -> str:
    return some_of(sorted(groups), _SHOWN)
