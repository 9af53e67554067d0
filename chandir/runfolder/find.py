"""Every trial's folder below a results folder, the same for run, status, report and W&B."""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path

TRIAL = re.compile(r"trial-[0-9]+")
BELOW = 3  # levels below a link: a task's folder moved elsewhere holds cells, which hold trials


def folders(runs: Path) -> list[Path]:
    """The trials' folders, each once, in a stable order.

    A cell's or a task's folder that was moved elsewhere and linked back is followed; a link to what
    was found already, or to a folder around it, adds nothing. What cannot be listed is passed over.

    Args:
        runs: a results folder, any folder between it and a trial, or a trial's.
    """
    if TRIAL.fullmatch(runs.name):
        return [runs] if runs.is_dir() else []
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    real: deque[tuple[Path, int]] = deque([(runs, -1)])  # and the levels that may follow
    linked: deque[tuple[Path, int]] = deque()
    while real or linked:  # links last, so that a folder has the name of its own place
        folder, left = real.popleft() if real else linked.popleft()
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in seen:
                continue
            seen.add(identity)
            if TRIAL.fullmatch(folder.name) and folder != runs:
                found.append(folder)
                continue
            if left == 0:
                continue
            with os.scandir(folder) as entries:
                inside = [(Path(each.path), each.is_symlink()) for each in entries if each.is_dir()]
        except OSError:
            continue
        for path, link in inside:
            (linked if link else real).append((path, BELOW if link else left - 1))
    return sorted(found, key=lambda path: (path.parent, len(path.name), path.name))
