"""A claim on a trial's folder: two processes never run the same trial.

The claim is an advisory lock of the operating system, which dies with its owner: what a killed
process held is free at once. Locks do not reach across hosts on every file system, so the claim
file also names its owner and is touched while it lives; another host's claim expires, unless it is
the claim of this very SLURM job before it was requeued, which is dead by definition. An owner looks
at its claim before every write: one that was stopped for longer than that finds another's name.
A file system without locks is refused: on it, two processes could run one trial.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chandir.harness.base import host
from chandir.harness.base.errors import UserError
from chandir.runfolder.contents import read_claim

NAME = "claim.json"
HEARTBEAT = 30.0  # seconds between two touches of a live claim
EXPIRY = 600.0  # seconds without a touch after which another host's claim counts as dead
PATIENCE = 5.0  # seconds to wait for an owner that is leaving


class Busy(UserError):
    """Another live process runs this trial."""


class Lost(UserError):
    """The folder was taken over while this process was stopped or cut off; it is not ours."""


class Held:
    """A claim of this process.

    Args:
        path: of the claim file.
        descriptor: open on it, with the lock.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Write whose it is."""
        self.path, self.descriptor = path, descriptor
        self.content = json.dumps(host.me() | {"token": secrets.token_hex(8)}).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, self.content, 0)

    def ours(self) -> bool:
        """Whether the file is still this one, and says that it is ours."""
        try:
            now = os.lstat(self.path)
            mine = os.fstat(self.descriptor)
            content = os.pread(self.descriptor, 4096, 0)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # a file server that is away comes back
        same = (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)
        return same and content == self.content

    def look(self) -> None:
        """Call this before every write to the folder.

        Raises:
            Lost: if the folder is another process's by now.
        """
        if not self.ours():
            owner = read_claim(self.path.parent)
            raise Lost(
                f"{self.path.parent} was taken over by process {owner.get('pid', '?')} on "
                f"{owner.get('host', '?')}, since this one did not touch its claim for "
                f"{EXPIRY:g} s or somebody removed it: this one leaves it alone; wait for the other"
            )

    def beat(self, stop: threading.Event) -> None:
        """Touch it now and then, while it is ours."""
        while not stop.wait(HEARTBEAT):
            if not self.ours():
                return
            with contextlib.suppress(OSError):  # a file server that is away comes back
                os.utime(self.descriptor)


@contextmanager
def claim(folder: Path, patience: float = PATIENCE) -> Iterator[Held]:
    """Hold the folder while the block runs.

    Args:
        folder: the trial's run folder.
        patience: seconds to wait for a process of this host that holds it.

    Yields:
        The claim, to look at before every write.

    Raises:
        Busy: naming the owner, if another process holds it.
        UserError: where no claim can be made: no locks, no permission, a folder in its place.
    """
    path = folder / NAME
    descriptor = _lock(path, time.monotonic() + patience)
    try:
        _refuse_other_host(path, descriptor)
        held = Held(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    stop = threading.Event()
    try:
        threading.Thread(target=held.beat, args=(stop,), daemon=True).start()
        yield held
    finally:
        stop.set()
        with contextlib.suppress(OSError):  # a folder that became read-only: the lock counts
            if held.ours():
                path.unlink()
        os.close(descriptor)  # releases the lock


def running(folder: Path) -> bool:
    """Whether a process runs this trial now; one of another host: whether it seems to."""
    path = folder / NAME
    owner = read_claim(folder)
    try:
        touched = os.lstat(path).st_mtime
    except OSError:
        return False
    if not host.reaches(owner, touched):
        return not _dead(touched, time.time())
    return locked(path)


def locked(path: Path) -> bool:
    """Whether a live process of this host holds a lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
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


def _dead(touched: float, now: float) -> bool:
    """Whether a claim of another host is dead; one from the future is of a clock that jumped."""
    return abs(now - touched) >= EXPIRY


def _lock(path: Path, deadline: float) -> int:
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            owner = read_claim(path.parent)
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
            if os.lstat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _open(path: Path) -> int:
    """The claim file, made if it is missing, as everything here with the user's own umask.

    What is no file (a link, which would lead the claim into another one; a pipe; a socket) is
    replaced.

    Raises:
        UserError: if that cannot be done.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(10):  # another process may put one there, too
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO):
                raise _refused(path, error) from None
        else:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    raise UserError(f"{path}: expected a file; something puts links or pipes there: stop that")


def _refused(path: Path, error: OSError) -> Exception:
    if error.errno == errno.EISDIR:
        return UserError(f"{path} is a folder: expected a file there; remove it")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UserError(
            f"{path}: {error.strerror}: expected to be able to write there; another user's? "
            "Give the group the right to (chmod -R g+rwX), or choose another paths.results"
        )
    return error


def _refuse_other_host(path: Path, descriptor: int) -> None:
    owner, me = read_claim(path.parent), host.me()
    touched = os.fstat(descriptor).st_mtime
    requeued = (
        me["slurm_job"] is not None
        and owner.get("slurm_job") == me["slurm_job"]
        and owner.get("slurm_restart", 0) < me["slurm_restart"]
    )
    if host.reaches(owner, touched) or requeued:
        return
    now = _now(path.parent)
    if not _dead(touched, now):
        raise Busy(
            f"{path.parent} is being run by process {owner.get('pid')} on {owner.get('host')}, "
            f"last seen {now - touched:.0f} s ago: expected a free trial; wait for it, or remove "
            f"{path.name} if that host is gone"
        )


def _now(folder: Path) -> float:
    """The file system's time, which stamps claims too: this host's clock may have jumped."""
    probe = folder / f".clock.{os.getpid()}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
