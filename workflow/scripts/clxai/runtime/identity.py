"""Which library this is: the one beside the entry scripts, with the content that Snakemake planned with.

Another checkout's library may be installed, and a module may be edited between planning and a job. Results would then pass for
those of code that never ran. Planning announces the digest of every file in an environment variable, which jobs inherit, through
SLURM, conda and containers too; jobs compare. Not through params: an unused module that is edited must rerun nothing.
"""

import hashlib
import json
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from clxai.errors import ClxaiError

SCRIPTS = Path(__file__).resolve().parents[2]
_PLANNED = "CLXAI_CODE_SHA256"


def digest_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits; nothing if there is no such file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else ""


def code_digests(scripts: Path) -> dict[Path, str]:
    """Return the SHA-256 of every Python file below a folder."""
    return {file: digest_of(file) for file in sorted(scripts.rglob("*.py"))}


def announce(digests: Mapping[Path, str], scripts: Path, environment: MutableMapping[str, str]) -> None:
    """Write into the environment with which code was planned: the digest of each file, named as the folder of scripts sees it."""
    environment[_PLANNED] = json.dumps({file.relative_to(scripts).as_posix(): digest for file, digest in digests.items()})


def require_planned(code: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of each file of a job's code.

    Raises ClxaiError if a file is not beside the library that this process has loaded, cannot be seen from here, or is not what
    Snakemake planned with.
    """
    planned = json.loads(environment.get(_PLANNED, "{}"))
    digests = {path: digest_of(path) for path in code}
    for path, digest in digests.items():
        name = _name_of(path)
        if not digest:
            raise ClxaiError(f"{path} is not there for this job: mount the folder of the workflow into its container or node")
        if planned.get(name, digest) != digest:
            raise ClxaiError(f"{path} was edited after this run of Snakemake was started: run Snakemake again")
    return digests


def _name_of(path: str) -> str:
    """Return a file's name below the folder of scripts whose library is loaded; raise ClxaiError if it is elsewhere."""
    file = Path(path).resolve()
    if not file.is_relative_to(SCRIPTS):
        raise ClxaiError(f"the job of {file} has loaded the library of {SCRIPTS}: uninstall that one or take it off PYTHONPATH")
    return file.relative_to(SCRIPTS).as_posix()
