"""Random numbers that depend on what they are for, and on nothing else.

Streams are keyed by purpose, seed and image, so that chunk sizes, job order or the number of images change no number.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clxai.keys import key_of

_GAMMA = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64, the golden-ratio increment of SplitMix64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator seeded by `key_of(*parts)`."""
    return torch.Generator(device=device).manual_seed(key_of(*parts))


def keyed_uniform(key: int, index: Int[Tensor, " image"], size: int) -> Float[Tensor, "image size"]:
    """Return uniform numbers in [0, 1), float64, one row per image, that depend only on (key, image index, position).

    SplitMix64 [Steele, Lea, Flood 2014] used as a counter-based generator: no state, so any subset of images gives the
    same rows. 53 random bits a number.
    """
    position = torch.arange(1, size + 1, device=index.device)
    row = _mix(_mix(index.to(torch.int64) * _GAMMA + key) + key)
    bits = _mix(row[:, None] + position * _GAMMA)
    return _shift(bits, 11).to(torch.float64) * 2.0**-53


def keyed_normal(key: int, index: Int[Tensor, " image"], size: int) -> Float[Tensor, "image size"]:
    """Return standard normal numbers, float64, one row per image, from `keyed_uniform` by the inverse distribution function."""
    inside = keyed_uniform(key, index, size) * (1 - 2.0**-52) + 2.0**-53  # (0, 1): both ends are infinite
    return 2**0.5 * torch.erfinv(2 * inside - 1)


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _shift(state, 30)) * _MIX_1
    state = (state ^ _shift(state, 27)) * _MIX_2
    return state ^ _shift(state, 31)


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch shifts int64 arithmetically, so the sign bits are cleared."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)
