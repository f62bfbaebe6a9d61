"""Digits planted among distractors: where the evidence is, is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clxai.data.datasets import stratified_choice
from clxai.data.planted import PATCH, arguments_of, check, counts_of, parts, side_of
from clxai.data.sources.base import Source, source
from clxai.errors import ClxaiError
from clxai.keys import key_of
from clxai.names import SPLITS

_BLOCK = 2  # side in pixels of what is shuffled inside a distractor
_TRIES = 100  # to place all other patches of an image around its first
_INK = (0.8, 1.0)  # from which the grey level of a patch's ink is drawn


@source(
    "planted",
    takes=("arguments",),
    planning="clxai.data.planted",
    evidence=True,
    options={"images": 6000, "variant": "plain", "distractors": 3, "classes": 10},
    at_most={"classes": 10},
    at_least={"images": 100, "distractors": 0, "classes": 2},
)
def planted(config: Mapping[str, Any]) -> Source:
    """Digits of scikit-learn at random positions on textures, among scrambled digits: the mask of the evidence is known."""
    check(config, "datasets")
    painter = _Painter.of(config)
    split = np.repeat(np.arange(3), list(counts_of(config, arguments_of(config)["images"]).values()))
    n_classes = arguments_of(config)["classes"]
    labels = np.arange(len(split)) % n_classes
    return Source(
        labels=labels,
        split=split,
        class_names=tuple(map(str, range(n_classes))),
        read=lambda index: painter.paint(index, int(labels[index]), int(split[index]))[0],
        evidence=lambda index: painter.paint(index, int(labels[index]), int(split[index]))[1],
    )


@dataclass(frozen=True)
class _Painter:
    """Paints images, each from a stream of its own: (seed, index) decides all of it, whatever the number of images."""

    digits: np.ndarray  # [digit, y, x] in [0, 1]
    pools: Mapping[int, tuple[np.ndarray, ...]]  # by split: the digits of each class; those of different splits are disjoint
    shape: tuple[int, int]
    variant: str
    n_parts: int
    n_distractors: int
    seed: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "_Painter":
        """Return the painter of an entry of `datasets`."""
        from sklearn.datasets import load_digits

        bunch, chosen = load_digits(), arguments_of(config)
        pools = _pools(bunch.target, config)
        return cls(
            bunch.images / 16, pools, side_of(config), chosen["variant"], parts(config), chosen["distractors"], config["seed"]
        )

    def paint(self, index: int, label: int, split: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an image and its evidence, uint8 [y, x] each: 0 where there is none, else the number of the part."""
        rng = np.random.default_rng(key_of("planted", self.seed, index))
        canvas, evidence = _texture(self.shape, rng), np.zeros(self.shape, np.uint8)
        # The digit has a stream of its own, so that another class changes its pixels and no others.
        digit = self.digits[np.random.default_rng(key_of("planted digit", self.seed, index)).choice(self.pools[split][label])]
        shown = {"plain": [digit], "redundant": [digit, digit], "shortcut": [digit, _code(label)]}[self.variant]
        others = rng.choice(np.concatenate(self.pools[split]), self.n_distractors)
        scrambled = [_scrambled(self.digits[other], rng) for other in others]
        places = _places(self.shape, len(shown) + len(scrambled), rng)
        for number, (patch, place) in enumerate(zip([*shown, *scrambled], places, strict=True), start=1):
            canvas[place] += patch * (rng.uniform(*_INK) - canvas[place])
            if number <= len(shown):
                _mark(evidence, patch > 0, place, number)
        return np.rint(255 * canvas).astype(np.uint8), evidence


def _pools(target: np.ndarray, config: Mapping[str, Any]) -> dict[int, tuple[np.ndarray, ...]]:
    """Share the digits out among the splits, stratified and seeded; return the numbers of those used, by split and class."""
    classes = arguments_of(config)["classes"]
    rng, left, pools = np.random.default_rng(key_of("planted digits", config["seed"])), np.arange(len(target)), {}
    for name, count in reversed(counts_of(config, len(target)).items()):
        chosen = left[stratified_choice(target[left], count, rng)]
        left = np.setdiff1d(left, chosen)
        pools[SPLITS.index(name)] = tuple(chosen[target[chosen] == label] for label in range(classes))
    return pools


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a grating of random direction, frequency and phase in random noise, within [0, 0.6]."""
    y, x = np.indices(shape)
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(4, 16), rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * (np.cos(angle) * y + np.sin(angle) * x) / period + phase)
    return np.clip(rng.uniform(0.15, 0.35) + 0.1 * wave + rng.normal(0, 0.05, shape), 0, 0.6)


def _scrambled(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a digit whose blocks are shuffled: its ink, but not its shape."""
    side = PATCH // _BLOCK
    blocks = digit.reshape(side, _BLOCK, side, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK, _BLOCK)
    return rng.permutation(blocks).reshape(side, side, _BLOCK, _BLOCK).swapaxes(1, 2).reshape(PATCH, PATCH)


def _code(label: int) -> np.ndarray:
    """Return the patch that spells a class: a pattern of blocks, half of them full, that is the same in all its images."""
    side = PATCH // _BLOCK
    rng = np.random.default_rng(key_of("planted code", label))
    full = rng.permutation(side * side) < side * side // 2
    return np.kron(full.reshape(side, side), np.ones((_BLOCK, _BLOCK)))


def _places(shape: tuple[int, int], n: int, rng: np.random.Generator) -> list[tuple[slice, slice]]:
    """Return places of patches with a pixel between them: the first is uniform over the image, each other over what is free."""
    first = tuple(int(rng.integers(side - PATCH + 1)) for side in shape)
    for _ in range(_TRIES):
        corners, free = [first], _around(np.ones([side - PATCH + 1 for side in shape], bool), first)
        while len(corners) < n and free.any():
            corners.append(tuple(map(int, np.unravel_index(rng.choice(np.flatnonzero(free)), free.shape))))
            free = _around(free, corners[-1])
        if len(corners) == n:
            return [(slice(top, top + PATCH), slice(left, left + PATCH)) for top, left in corners]
    raise ClxaiError(f"planted: {n} patches of {PATCH}x{PATCH} px found no free place in {list(shape)} px: raise size")


def _around(free: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """Return the corners that stay free when a patch lies at one."""
    left = free.copy()
    left[tuple(slice(max(0, at - PATCH), at + PATCH + 1) for at in corner)] = False
    return left


def _mark(evidence: np.ndarray, inked: np.ndarray, place: tuple[slice, slice], number: int) -> None:
    """Mark the pixels with ink and their neighbours: a stroke is seen by its edge."""
    from scipy.ndimage import binary_dilation

    whole = np.zeros(evidence.shape, bool)
    whole[place] = inked
    evidence[binary_dilation(whole, np.ones((3, 3))) & (evidence == 0)] = number
