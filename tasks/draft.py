"""Files and folders that appear in their place at once and whole, whatever ends their making."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def make(target: Path, fill: Callable[[Path], object]) -> None:
    """Make a file or a folder, unless it is there; processes that start together make it once.

    What a killed process left is removed by the next one that needs the target. On a file system
    without locks, each makes its own, and the first one's stays.

    Args:
        target: where it is to be.
        fill: makes it at the path that it is given, which is beside the target.

    Raises:
        OSError: for a place that cannot be written to. Whatever `fill` raises leaves nothing.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_name(f".{target.name}.lock")) as locked:
        if target.exists():  # made while this process waited
            return
        if locked:  # so these are of processes that were killed
            for stale in target.parent.glob(f".{target.name}.*.draft"):
                shutil.rmtree(stale, ignore_errors=True)
        draft = tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".draft", dir=target.parent)
        try:
            made = Path(draft, target.name)
            fill(made)
            try:
                made.rename(target)
            except OSError:
                if not target.exists():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Wait for other processes in this block; whether there was a lock to wait at.

    The lock is let go when its owner dies, and its file is gone at the end.
    """
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                ours = os.path.samestat(os.stat(path), os.fstat(file.fileno()))
            except FileNotFoundError:
                ours = False
            except OSError:  # no locks on this file system
                path.unlink(missing_ok=True)
                yield False
                return
            if not ours:  # the owner before removed it between our open and our lock
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return
