"""Whether a complete trial has its weights, in ``weights.pt`` or where older versions put them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from chandir.runfolder.contents import Contents

NAME = "weights.pt"
# The newer and the older generation of what an unfinished trial continues from.
CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")
_DIGEST = re.compile(rb"[0-9a-f]{64}\n")  # what a checkpoint begins with


def lacking(found: Contents) -> bool:
    """Whether a complete trial has no weights, though there were some to keep.

    One that diverged in its first epoch never had weights worth keeping.
    """
    diverged = found.final.get("diverged") or {}
    if not found.complete or diverged.get("last_good_epoch") == 0:
        return False
    before = found.folder / CHECKPOINTS[0]
    return not (_file(found.folder / NAME) or (_file(before) and not checkpoint(before)))


def checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint; before ``weights.pt``, weights lay under its name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return regular and _DIGEST.fullmatch(os.read(descriptor, 65)) is not None
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
