"""Which host this is: names tell no two apart, so the boot of its kernel does."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


def me() -> dict[str, Any]:
    """Who this process is, in words that a claim keeps."""
    job, restart = (os.environ.get(f"SLURM_{name}") for name in ("JOB_ID", "RESTART_COUNT"))
    return {
        "host": socket.gethostname(),
        "boot": _identity("/proc/sys/kernel/random/boot_id"),
        "machine": _identity("/etc/machine-id"),
        "pid": os.getpid(),
        "slurm_job": job,
        "slurm_restart": int(restart or 0),
    }


@cache
def _identity(source: str) -> str | None:
    try:
        return Path(source).read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def reaches(owner: dict[str, Any], touched: float) -> bool:
    """Whether a claim was made where its lock would reach us: under this boot of this kernel.

    Names tell no hosts apart: two may share one. A claim that this very machine made before it was
    started last is dead, which is what a lock that nobody holds says too.
    """
    if not owner:
        return True
    mine = me()
    if owner.get("boot") is None or mine["boot"] is None:  # of an older version, or no Linux
        return owner.get("host") in (None, mine["host"])
    if owner["boot"] == mine["boot"]:
        return True
    machine = [owner.get(key) for key in ("host", "machine")] == [mine["host"], mine["machine"]]
    return machine and touched < _started()


@cache
def _started() -> float:
    """When this kernel was started; 0 if it does not say."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("btime ")))
    return 0.0
