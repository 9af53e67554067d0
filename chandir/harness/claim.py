"""A claim on a trial's folder: two processes never run the same trial.

The claim is an advisory lock of the operating system, which dies with its owner: what a killed
process held is free at once. Locks do not reach across hosts on every file system, so the claim
file also names its owner and is touched while it lives; another host's claim expires, unless it is
the claim of this very SLURM job before it was requeued, which is dead by definition.
"""

from __future__ import annotations

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
    """Whether a process seems to run this trial now; looks without touching."""
    path = folder / NAME
    try:
        owner = json.loads(path.read_bytes() or b"{}")
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return False
    if owner.get("host") != socket.gethostname():
        return age < EXPIRY
    return Path(f"/proc/{owner.get('pid')}").exists() or not Path("/proc").exists()


def _self() -> dict[str, Any]:
    job = os.environ.get("SLURM_JOB_ID")
    return {"host": socket.gethostname(), "pid": os.getpid(), "slurm_job": job}


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
        # The owner before us may have removed the file between our open and our lock.
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _refuse_other_host(path: Path, descriptor: int) -> None:
    owner, me = _owner(descriptor), _self()
    same_job = owner.get("slurm_job") is not None and owner.get("slurm_job") == me["slurm_job"]
    if owner.get("host") in (None, me["host"]) or same_job:
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
    except ValueError:
        return {}


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        try:
            os.utime(path)
        except OSError:
            return
