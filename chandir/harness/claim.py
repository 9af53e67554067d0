"""A claim on a trial's folder: two processes never run the same trial.

The claim is an advisory lock of the operating system, which dies with its owner: what a killed
process held is free at once. Locks do not reach across hosts on every file system, so the claim
file also names its owner and is touched while it lives; another host's claim expires, unless it is
the claim of this very SLURM job before it was requeued, which is dead by definition.
A file system without locks is refused: on it, two processes could run one trial.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chandir.harness.errors import UserError

NAME = "claim.json"
HEARTBEAT = 30.0  # seconds between two touches of a live claim
EXPIRY = 600.0  # seconds without a touch after which another host's claim counts as dead
PATIENCE = 5.0  # seconds to wait for an owner that is leaving


class Busy(UserError):
    """Another live process runs this trial."""


@contextmanager
def claim(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the folder while the block runs.

    Args:
        folder: the trial's run folder.
        patience: seconds to wait for a process of this host that holds it.

    Raises:
        Busy: naming the owner, if another process holds it.
    """
    path = folder / NAME
    descriptor = _lock(path, time.monotonic() + patience)
    try:
        _refuse_other_host(path, descriptor)
    except Busy:
        os.close(descriptor)
        raise
    stop = threading.Event()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_self()).encode(), 0)
        threading.Thread(target=_beat, args=(path, stop), daemon=True).start()
        yield
    finally:
        stop.set()
        with suppress(OSError):  # a folder that became read-only; the lock is what counts
            path.unlink()
        os.close(descriptor)  # releases the lock


def running(folder: Path) -> bool:
    """Whether a process runs this trial now; one of another host: whether it seems to."""
    path = folder / NAME
    try:
        owner = json.loads(path.read_bytes() or b"{}")
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return False
    if owner.get("host") not in (None, socket.gethostname()):
        return age < EXPIRY
    return locked(path)


def locked(path: Path) -> bool:
    """Whether a live process of this host holds a lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:  # a shared lock, let go at once: who comes for an exclusive one now tries again
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _self() -> dict[str, Any]:
    job, restart = (os.environ.get(f"SLURM_{name}") for name in ("JOB_ID", "RESTART_COUNT"))
    host = socket.gethostname()
    return {"host": host, "pid": os.getpid(), "slurm_job": job, "slurm_restart": int(restart or 0)}


def _lock(path: Path, deadline: float) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(descriptor)
            os.close(descriptor)
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise Busy(
                f"{path.parent} is being run by process {owner.get('pid', '?')} on "
                f"{owner.get('host', 'this host')}: expected a free trial; wait for it, or stop it"
            ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            raise UserError(
                f"{path.parent}: its file system has no locks ({error.strerror}): expected one "
                "that has; choose another paths.results, or mount it with locks (Lustre: flock)"
            ) from None
        # The owner before us may have removed the file between our open and our lock.
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _refuse_other_host(path: Path, descriptor: int) -> None:
    owner, me = _owner(descriptor), _self()
    requeued = (
        me["slurm_job"] is not None
        and owner.get("slurm_job") == me["slurm_job"]
        and owner.get("slurm_restart", 0) < me["slurm_restart"]
    )
    if owner.get("host") in (None, me["host"]) or requeued:
        return
    age = _now(path.parent) - os.fstat(descriptor).st_mtime
    if age < EXPIRY:
        raise Busy(
            f"{path.parent} is being run by process {owner.get('pid')} on {owner['host']}, last "
            f"seen {age:.0f} s ago: expected a free trial; wait for it, or remove {path.name} if "
            "that host is gone"
        )


def _now(folder: Path) -> float:
    """The file system's time, which stamps claims too: this host's clock may have jumped."""
    probe = folder / f".clock.{os.getpid()}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _owner(descriptor: int) -> dict[str, Any]:
    try:
        return dict(json.loads(os.pread(descriptor, 4096, 0) or b"{}"))
    except (ValueError, TypeError):
        return {}


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with suppress(OSError):  # a file server that is away comes back
            os.utime(path)
