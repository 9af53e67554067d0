"""Whether data that is held as a whole fits, said before it is read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
LIMIT = Path("/sys/fs/cgroup/memory.max")


def check(shape: Sequence[int], what: str, device: torch.device | str = "cpu") -> None:
    """Refuse a tensor of bytes that the free memory cannot hold.

    Args:
        shape: of the tensor, one byte an entry.
        what: it holds, for the message.
        device: where it is to lie.

    Raises:
        ValueError: with what it needs and what is free.
    """
    need, free = math.prod(shape), available(device)
    if need > free:
        where = "this machine" if torch.device(device).type == "cpu" else str(device)
        raise ValueError(
            f"{what} take {need / 2**30:.2f} GiB of memory in each process that trains, and "
            f"{where} has {free / 2**30:.2f} GiB free: expected all of them to fit; make task.size "
            "smaller, or take fewer with task.train_size and task.test_size"
        )


def available(device: torch.device | str = "cpu") -> float:
    """Free bytes: of a GPU, or of this host within the limit of its container."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_host(), _container())


def _host() -> int:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) << 10
    except (OSError, StopIteration):  # no Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _container() -> float:
    """What its control group allows it in all; infinite if that sets no limit.

    What it has used of that says little: most of it may be files that were read.
    """
    try:
        return int(LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # none, or "max"
        return math.inf
