"""Where a job's words go: everything into its log file; progress also to the terminal, if there is one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from clxai.runtime.jobs import begin


def log_to(path: str, code: Sequence[str] = ()) -> None:
    """Send standard output and error of this process, native libraries included, to a file, line by line.

    The process becomes the job of that log: it writes no result once the log has a new owner or `code` was edited.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(handle, f"{begin(path, code)}\n".encode())
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    sys.stdout.reconfigure(line_buffering=True)
