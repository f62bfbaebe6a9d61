"""Snakemake for tests that call it a hundred times: each call is a fork of one process that has imported it.

What a call imports of the library, it imports anew from its own checkout: nothing of the library is loaded here.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

SECONDS = 1200  # longer than any study of the tests takes


def call(arguments, folder, environment):
    """Run `snakemake` with these arguments in a folder; return the finished process with its output."""
    with TemporaryDirectory() as place:
        order = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment), "place": place}
        server = _server()
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        status = os.waitstatus_to_exitcode(int(server.stdout.readline()))
        output, errors = (Path(place, name).read_text() for name in ("output", "errors"))
    return subprocess.CompletedProcess(arguments, status, output, errors)


@cache
def _server():
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _serve():
    """Import Snakemake, then fork for each line of stdin and answer with the status of the child."""
    import jsonschema  # noqa: F401  -- which Snakemake imports when it checks a config
    from snakemake import cli

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with suppress(SystemExit):
        cli.main(["--version"])  # loads the plug-ins
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _call(cli, **json.loads(line))
        print(os.waitpid(child, 0)[1], file=answers, flush=True)


def _call(cli, arguments, folder, environment, place):
    signal.alarm(SECONDS)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv, sys.path[0] = ["snakemake", *arguments], folder
    for name, stream in ((os.devnull, 0), (f"{place}/output", 1), (f"{place}/errors", 2)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), stream)
    cli.main(arguments)


if __name__ == "__main__":
    _serve()
