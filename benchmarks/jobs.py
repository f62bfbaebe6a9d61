"""How long a job takes before and after its own computing: interpreter, imports and exit of each kind of entry script."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Comparison, Setting

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
# Entry scripts, with what their methods import besides.
JOBS = {
    "train_model": "",
    "flip": "",
    "attribute (lrp)": "import clxai.attribution.propagation",
    "summarise": "",
}


def imports_of(script: Path) -> str:
    """Return the import statements that an entry script runs."""
    body = ast.parse(script.read_text()).body
    return "\n".join(ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom))


def start_up(name: str, more: str, setting: Setting) -> Comparison:
    """Time a process that imports what the job imports and ends."""
    program = f"{imports_of(SCRIPTS / f'{name.split()[0]}.py')}\n{more}"
    seconds = []
    for repetition in range(setting.repetitions + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        if repetition:  # the first one warms the page cache
            seconds.append(time.perf_counter() - start)
    return Comparison(f"start-up of {name}", "seconds", seconds, None, at_most=3.0, note="interpreter, imports, exit")


def compare(setting: Setting) -> Iterator[Comparison]:
    """Yield the start-up of each kind of job."""
    for name, more in JOBS.items():
        yield start_up(name, more, setting)
