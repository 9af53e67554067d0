"""A folder's files written whole or not at all, whoever else writes them at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def together(out: Path) -> Iterator[Path]:
    """Yield an empty folder inside `out`; what the block leaves in it goes to `out` at its end.

    If the block fails, `out` is as it was. Others that do the same wait for each other; on a file
    system without locks the last one's files win, each of them whole. Those at the top come last:
    a page never shows before what it shows.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out) as locked:
        if locked:  # so these are of processes that were killed
            for stale in out.glob(".*.part"):
                shutil.rmtree(stale, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=out))
        try:
            yield part
            made = [path for path in part.rglob("*") if path.is_file()]
            for path in sorted(made, key=lambda path: -len(path.relative_to(part).parts)):
                target = out / path.relative_to(part)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Wait for other processes in this block; whether there was a lock to wait at."""
    descriptor = os.open(folder, os.O_RDONLY)
    locked = False
    try:
        with contextlib.suppress(OSError):  # none on this file system
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            locked = True
        yield locked
    finally:
        os.close(descriptor)
