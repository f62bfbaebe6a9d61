"""CLXAI: is pixel flipping a trustworthy test of explanations for contrastively trained networks?

`docs/library.md` shows the functions that are named here, `docs/architecture.md` draws the house. They are imported from
`clxai.api` when they are asked for: planning a study must not wait for torch, and this file is an input of every job.
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = [
    "ClxaiError",
    "FittedHeads",
    "StudyResults",
    "Summary",
    "as_network",
    "explain",
    "fill_bank",
    "fit_heads",
    "flip",
    "load_study",
    "method",
    "summarise",
]


def __getattr__(name: str) -> object:
    """Return one of the public names, after importing the library."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("clxai.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
