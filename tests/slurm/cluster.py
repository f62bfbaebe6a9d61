"""A SLURM of one node on this machine, started by whoever calls it, in a folder of its own.

    python tests/slurm/cluster.py start [FOLDER]     # prints what to put into the environment
    python tests/slurm/cluster.py status [FOLDER]
    python tests/slurm/cluster.py stop [FOLDER]

Two processors and two GPUs that are links to /dev/null: enough to ask for everything that is asked of a real cluster.
Key, socket, ports, state and logs are the folder's; nothing outside it is written, and a SLURM of the machine is not touched.
Needs the daemons alone (Debian: slurm-wlm). Limits of memory and GPU are counted, not enforced.
"""

import argparse
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
SBIN = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))  # not in the path of every user
START_SECONDS = 30
STOP_SECONDS = 15

CONFIG = """\
ClusterName=clxai
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}

AuthType=auth/munge
CredType=cred/munge
# A requeued job waits as long as the credential of its first start lives.
AuthInfo=socket={folder}/munge.socket,cred_expire=5

StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log

# Neither cgroups nor an accounting data base: containers have no such things.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none

SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
# The node has what is written here, whatever the machine has.
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=32000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=local Nodes=ALL Default=YES MaxTime=INFINITE State=UP

# One second between SIGTERM and SIGKILL; finished jobs stay visible to squeue.
KillWait=1
OverTimeLimit=0
MinJobAge=3600
"""

# The executor's job step drops SLURM_CONF from the environment of srun, which would then look for the system's cluster.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


class ClusterError(RuntimeError):
    """The cluster could not be started; the message says why in one line."""


@dataclass(frozen=True)
class Cluster:
    """A cluster in a folder; `start` makes both."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the commands of SLURM to this cluster."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def command(self, *arguments: str, check: bool = True) -> str:
        """Run a command of SLURM on this cluster and return what it prints."""
        environment = {**os.environ, **self.environment}
        process = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)
        if check and process.returncode != 0:
            raise ClusterError(f"{' '.join(arguments)}: {process.stderr.strip()}")
        return process.stdout

    def start(self, cpus: int = 2, gpus: int = 2) -> None:
        """Write the folder, start the daemons and wait for the node; raises ClusterError, leaving nothing running."""
        missing = [name for name in (*DAEMONS, "sbatch", "srun") if program(name) is None]
        if missing:
            raise ClusterError(f"not installed: {', '.join(missing)} (Debian: apt-get install slurm-wlm)")
        if self.running():
            raise ClusterError(f"a cluster runs in {self.folder}; stop it first")
        self._write(cpus, gpus)
        try:
            # --force: also in a folder that other users cannot reach; the key is the folder's alone.
            self._launch("munged", "--foreground", "--force", *self._munge_options())
            self._wait("munged", (self.folder / "munge.socket").exists)
            self._launch("slurmctld", "-D", "-c", "-f", str(self.folder / "slurm.conf"))
            self._launch("slurmd", "-D", "-f", str(self.folder / "slurm.conf"))
            self._wait("slurmd", lambda: "idle" in self.command("sinfo", "--noheader", "--format=%T", check=False))
        except (ClusterError, OSError) as error:
            self.stop()
            raise ClusterError(str(error)) from error

    def stop(self) -> None:
        """Cancel the jobs of this cluster and end the daemons that `start` recorded, and nothing else."""
        running = self.running()
        if len(running) == len(DAEMONS):
            jobs = self.jobs("%A")
            if jobs:
                self.command("scancel", *jobs, check=False)
            wait_until(lambda: not self.jobs("%A"), STOP_SECONDS)
        for name in reversed(DAEMONS):
            if name in running:
                end(running[name])
        (self.folder / "daemons.json").unlink(missing_ok=True)

    def jobs(self, columns: str) -> list[str]:
        """Return what squeue says of every job that waits, runs or ends at this moment."""
        return self.command("squeue", "--noheader", f"--format={columns}", check=False).split()

    def running(self) -> dict[str, int]:
        """Return the process ids of the recorded daemons that are alive, by name."""
        record = self.folder / "daemons.json"
        daemons = json.loads(record.read_text()) if record.exists() else {}
        return {name: pid for name, (pid, begun) in daemons.items() if start_time(pid) == begun is not None}

    def _write(self, cpus: int, gpus: int) -> None:
        for part in ("state", "spool", "bin"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
            (self.folder / part).mkdir(parents=True)
        ports = free_ports(2)
        values = {
            "folder": self.folder,
            "host": socket.gethostname().partition(".")[0],
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "controller_port": ports[0],
            "node_port": ports[1],
            "cpus": cpus,
            "gpus": gpus,
        }
        (self.folder / "slurm.conf").write_text(CONFIG.format_map(values))
        devices = [self.folder / f"gpu{number}" for number in range(gpus)]
        for device in devices:
            device.unlink(missing_ok=True)
            device.symlink_to("/dev/null")  # SLURM wants a device
        (self.folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
        srun = self.folder / "bin" / "srun"
        srun.write_text(SRUN.format(folder=self.folder, srun=program("srun")))
        srun.chmod(0o755)
        key = self.folder / "munge.key"
        key.unlink(missing_ok=True)
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))

    def _munge_options(self) -> list[str]:
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        return [f"--{option}={self.folder / f'munge.{suffix}'}" for option, suffix in files.items()]

    def _launch(self, name: str, *arguments: str) -> None:
        detached = ["sh", "-c", 'setsid "$@" </dev/null >"$0" 2>&1 & echo $!', str(self.folder / f"{name}.out")]
        command = [*detached, program(name), *arguments]
        process = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True)
        pid = int(process.stdout)
        record = self.folder / "daemons.json"
        daemons = json.loads(record.read_text()) if record.exists() else {}
        record.write_text(json.dumps({**daemons, name: (pid, start_time(pid))}))

    def _wait(self, name: str, ready) -> None:
        if not wait_until(lambda: name not in self.running() or ready(), START_SECONDS) or name not in self.running():
            logs = [self.folder / f"{name}.out", self.folder / f"{name}.log"]
            lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
            raise ClusterError(f"{name} did not start: {lines[-1] if lines else 'it said nothing'}")


def program(name: str) -> str | None:
    """Return where a program is, the folders of daemons included."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), SBIN)))


def free_ports(number: int) -> list[int]:
    """Return ports of this machine that nobody listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def start_time(pid: int) -> int | None:
    """Return when a process began, in ticks since boot; None if it has ended. With the pid this names it for good."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(fields[18])


def wait_until(condition, seconds: float) -> bool:
    """Say whether a condition came true within some seconds."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return bool(true)


def end(pid: int) -> None:
    """End a process: politely, then for good."""
    begun = start_time(pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if start_time(pid) == begun is not None:
            os.kill(pid, number)
        if wait_until(lambda: start_time(pid) != begun, STOP_SECONDS):
            return


def shell_lines(environment: Mapping[str, str]) -> str:
    """Return the lines that lead a shell to the cluster."""
    return f"export SLURM_CONF={environment['SLURM_CONF']}\nexport PATH={environment['PATH'].partition(os.pathsep)[0]}:$PATH"


def main(arguments: list[str] | None = None) -> int:
    """Start, stop or describe a cluster; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("start", "status", "stop"))
    default = Path(tempfile.gettempdir()) / f"clxai-slurm-{os.getuid()}"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help=f"default: {default}")
    options = parser.parse_args(arguments)
    cluster = Cluster(options.folder.resolve())
    try:
        if options.action == "start":
            cluster.start()
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    if options.action == "stop":
        cluster.stop()
        return 0
    running = cluster.running()
    if len(running) < len(DAEMONS):
        print(f"cluster: not running in {cluster.folder}", file=sys.stderr)
        return 1
    print(shell_lines(cluster.environment))
    if options.action == "status":
        print(*(f"# {name}: pid {pid}" for name, pid in running.items()), sep="\n")
        print(cluster.command("squeue"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
