"""Snakemake called in this process, which it leaves as it was, and what it logs of its jobs."""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence

from clxai.errors import ClxaiError

_TARGET = "all"  # what the names of target rules end in: they run nothing
_TOTAL = ("total", "default")


def succeeds(command: Sequence[str]) -> bool:
    """Call Snakemake with these arguments and say whether it succeeded. Raises ClxaiError if it is not installed."""
    try:
        from snakemake.cli import main
    except ImportError as error:
        raise ClxaiError(f"Snakemake is not installed here ({error}): pip install 'snakemake>=9.20,<10'") from None
    with _same_environment():
        try:
            main(list(command))
        except SystemExit as end:
            return not end.code
    return True


@contextlib.contextmanager
def listening(events: logging.Filter) -> Iterator[None]:
    """Show a filter each record that Snakemake logs."""
    logger = logging.getLogger("snakemake.logging")
    logger.addFilter(events)
    try:
        yield
    finally:
        logger.removeFilter(events)


def event_of(record: logging.LogRecord) -> str:
    """Return the name of the event that a record tells of, such as JOB_FINISHED; nothing of plain words."""
    return getattr(getattr(record, "event", None), "name", "")


def is_job(rule: str) -> bool:
    """Say whether a rule, as Snakemake counts them, has jobs: not so of target rules, nor of the total."""
    return not rule.endswith(_TARGET) and rule not in _TOTAL


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    """Put back the variables by which planning tells its jobs what they are."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
