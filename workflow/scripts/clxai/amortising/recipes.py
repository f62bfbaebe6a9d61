"""What the recipe of an explainer may say; free of torch, so that planning can ask.

A recipe has options of a method that learns: `OBJECTIVES` with their weights, `schedule`, and how the network is trained.
"""

from collections.abc import Mapping
from typing import Any

from clxai.errors import ClxaiError, unknown_name

OBJECTIVES = ("least_squares", "pattern", "local")
FIXED, DEEPFAITH = "fixed", "deepfaith"
SCHEDULES = (FIXED, DEEPFAITH)
PER_ATTENTION = 16  # features of an attention head


def check_recipe(recipe: Mapping[str, Any], where: str, taught: bool = False) -> None:
    """Raise ClxaiError unless something counts and can be had; `taught` says whether there are teachers.

    Objectives that a recipe does not name do not count, and without a schedule weights are fixed.
    """
    schedule = recipe.get("schedule", FIXED)
    if schedule not in SCHEDULES:
        raise ClxaiError(f"{where}.schedule: {unknown_name('schedule', schedule, SCHEDULES)}")
    if schedule == FIXED and not any(recipe.get(name) for name in OBJECTIVES):
        raise ClxaiError(f"{where}: one of {', '.join(OBJECTIVES)} must be above 0")
    if (recipe.get("pattern") or schedule == DEEPFAITH) and not taught:
        raise ClxaiError(f"{where}: maps of teachers are needed by pattern and by schedule {DEEPFAITH}. Got none")
    if recipe["width"] % PER_ATTENTION:
        raise ClxaiError(f"{where}.width must be a multiple of {PER_ATTENTION}. Got {recipe['width']}")
