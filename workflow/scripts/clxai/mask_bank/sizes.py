"""How many masks of each law a mask bank has, and how many of them may be fitted; free of torch, so that planning can ask.

A law says how masks are drawn. Masks come in pairs of complements, which stay together on their side of the split.
"""

import math

from clxai.errors import ClxaiError

SHAPLEY, BERNOULLI = "shapley", "bernoulli"
LAWS = (SHAPLEY, BERNOULLI)  # of the masks that are drawn; each has half of them
ALL, NONE, LEAVE_ONE_OUT = "all", "none", "leave_one_out"
FIXED = (ALL, NONE, LEAVE_ONE_OUT)  # what every bank has besides, never held out
GROUP = 4  # masks are drawn by so many: a pair of each law
MASKS, HELD_OUT = 1024, 0.2  # drawn masks of an image and the share held out, where nothing else is asked for
_JUDGING = 16  # masks of a law over which a correlation says something


def pairs_of(masks: int, held_out: float) -> tuple[int, int]:
    """Return how many pairs of one law a bank of so many drawn masks fits, and how many it holds out.

    Raises ClxaiError unless there are at least two pairs a law, so that there is one of either kind.
    """
    pairs = masks // GROUP
    if masks % GROUP or pairs < 2:
        raise ClxaiError(f"mask_bank.masks must be a multiple of {GROUP}, at least {2 * GROUP}. Got {masks}")
    held = min(max(1, round(held_out * pairs)), pairs - 1)
    return pairs - held, held


def check_masks(fitted: int, per_unit: int, n_units: float | int, where: str, of: str = "") -> None:
    """Raise ClxaiError if there are fewer masks of a law to fit than `per_unit` for each unit of an image.

    `where` names what reads them, `of` what is cut into units; infinitely many are as many as nobody knows yet.
    """
    needed = per_unit * n_units
    if fitted < needed and math.isfinite(needed):
        raise ClxaiError(
            f"{where} needs at least {per_unit} fitted masks a unit, {needed:g} for {n_units:g} units{of}. Got {fitted}: raise "
            "mask_bank.masks, half of which are of its law, less the share mask_bank.held_out; or take larger units"
        )


def check_held_out(held: int) -> None:
    """Raise ClxaiError if so few masks of a law are held out that metrics of masks say nothing."""
    if held < _JUDGING:
        raise ClxaiError(
            f"metrics that read masks need at least {_JUDGING} held-out masks of a law. Got {held}: raise mask_bank.masks or "
            "mask_bank.held_out, or name in study.metrics those that read curves"
        )
