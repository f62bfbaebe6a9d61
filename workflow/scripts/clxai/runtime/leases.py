"""Leases of GPUs on a workstation: Snakemake counts GPUs but does not assign them, so each job takes one for itself.

A lease is an exclusive lock on a file named after the device, held by the process: the kernel releases it however the process
ends, SIGKILL included. It has to be taken before CUDA starts, since CUDA reads once which devices it may see; this module
asks the driver's management library (NVML), which starts nothing. Devices go by their UUIDs: CUDA numbers them by speed unless
told otherwise, NVML and nvidia-smi by bus, and a lock has to mean one device however it was named.

Under SLURM nothing is leased: the scheduler has assigned the devices of the job.
"""

import fcntl
import os
import pwd
import time
from contextlib import suppress
from pathlib import Path

from clxai.errors import ClxaiError

FOLDER = Path("/tmp/clxai-leases")  # not $TMPDIR, which may differ between users and would hide their leases from each other
_PAUSE = 0.5  # seconds between two looks at leased devices
_HOLDER_BYTES = 300

_held: dict[str, int] = {}  # the device of this process and the file descriptor whose lock is the lease


def take_lease(job: str, folder: Path = FOLDER) -> str | None:
    """Lease one visible device until this process ends, make it the only visible one, and return its name.

    Waits while all are leased, and says for which and by whom. Returns None, and does nothing, under SLURM and where no device
    is visible. A second call returns the same device. Raises ClxaiError if the folder cannot be written.
    """
    if "SLURM_JOB_ID" in os.environ:
        return None
    if not _held and (devices := visible_devices()):
        device, handle = _wait_for_one(devices, job, folder)
        _held[device] = handle
        os.register_at_fork(after_in_child=release)  # a lock is shared with forked children and would outlive its process in them
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    return next(iter(_held), None)


def release() -> None:
    """Give the lease back before the process ends: for a device that turned out to be unusable."""
    while _held:
        os.close(_held.popitem()[1])


def visible_devices() -> list[str]:
    """Return the devices that CUDA may see, by UUID where NVML knows them; CUDA_VISIBLE_DEVICES is read as CUDA reads it.

    Numbers count in the order of the bus, as nvidia-smi does. The list ends at the first name that is not valid, such as -1, and
    is empty if a name is repeated.
    """
    known, chosen = _uuids(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return known
    devices = []
    for name in (part.strip() for part in chosen.split(",")):
        device = _canonical(name, known)
        if device is None:
            break
        devices.append(device)
    return devices if len(set(devices)) == len(devices) else []


def _canonical(name: str, known: list[str]) -> str | None:
    """Return the UUID of a device named by number, UUID or the unique start of one; None if there is no such device."""
    if name.isdigit():
        number = int(name)
        if not known:  # no NVML: the number is all there is
            return str(number)
        return known[number] if number < len(known) else None
    if name.startswith("MIG-"):  # a part of a device, listed by NVML in another way
        return name
    matches = [uuid for uuid in known if uuid.startswith(name)] if known else [name]
    return matches[0] if name.startswith("GPU-") and len(matches) == 1 else None


def _uuids() -> list[str]:
    """Return the UUIDs of the devices of this machine in the order of the bus; none without NVIDIA's driver."""
    import pynvml  # jobs without a GPU need none of it

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [uuid for number in range(pynvml.nvmlDeviceGetCount()) if (uuid := _uuid(number))]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _uuid(number: int) -> str:
    """Return a device's UUID; nothing for one that this user may not use, which CUDA does not count either."""
    import pynvml

    try:
        return pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(number))
    except pynvml.NVMLError:
        return ""


def _wait_for_one(devices: list[str], job: str, folder: Path) -> tuple[str, int]:
    """Lock the first device that is free and return it with the lock's file descriptor."""
    files = {device: folder / f"{device.replace('/', '_')}.lock" for device in devices}
    started, said = time.monotonic(), False
    while True:
        for device, file in files.items():
            handle = _try_lock(file, job)
            if handle is not None:
                if said:
                    print(f"leased GPU {device} after {time.monotonic() - started:.0f} s", flush=True)
                return device, handle
        if not said:
            holders = "; ".join(f"{device} is held by {_holder(file)}" for device, file in files.items())
            print(f"waiting for a GPU: {holders}", flush=True)
            said = True
        time.sleep(_PAUSE)


def _try_lock(file: Path, job: str) -> int | None:
    """Return a descriptor that holds the lock of a file, with this process named in it; None if another one holds it.

    Python's descriptors are not inherited by programs that the process starts.
    """
    handle = _open(file)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    if not _is_still(file, handle):
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} of {_user()}: {job}\n".encode()[:_HOLDER_BYTES], 0)
    return handle


def _is_still(file: Path, handle: int) -> bool:
    """Say whether an open file is still the one of that name: somebody may have cleaned up, and locked a new one."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _open(file: Path) -> int:
    """Open a lock file that every user may lock and that its owner alone may delete, whatever the umask.

    Existing files without O_CREAT: for files of others in such a folder the kernel may refuse it (fs.protected_regular).
    """
    umask = os.umask(0)
    try:
        with suppress(FileExistsError):
            file.parent.mkdir(0o1777)
        with suppress(FileExistsError):
            return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        return os.open(file, os.O_RDWR | os.O_NOFOLLOW)
    except OSError as error:
        raise ClxaiError(
            f"{file}: cannot be locked to lease a GPU ({error.strerror}); all users must be able to write there"
        ) from error
    finally:
        os.umask(umask)


def _holder(file: Path) -> str:
    """Return what a lock file says about its holder, on one line, printable."""
    try:
        text = file.read_bytes()[:_HOLDER_BYTES].decode(errors="replace").strip()
    except FileNotFoundError:
        text = ""
    return "".join(letter if letter.isprintable() else "?" for letter in text) or "an unknown process"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers run under users without a name
        return f"user {os.getuid()}"
