"""Files and folders that appear in their place at once and whole, whatever ends their making."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def make(target: Path, fill: Callable[[Path], object]) -> None:
    """Make a file or a folder, unless it is there; processes that start together make it once.

    What a killed process left is removed by the next one that needs the target.

    Args:
        target: where it is to be.
        fill: makes it at the path that it is given, which is beside the target.

    Raises:
        OSError: for a place that cannot be written to. Whatever `fill` raises leaves nothing.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    with _alone(target.with_name(f".{target.name}.lock")):
        if target.exists():  # made while this process waited
            return
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            fill(draft / target.name)
            (draft / target.name).rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that the system lets go when its owner dies; the file is gone at the end."""
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                ours = os.path.samestat(os.stat(path), os.fstat(file.fileno()))
            except FileNotFoundError:
                ours = False
            if not ours:  # the owner before removed it between our open and our lock
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
