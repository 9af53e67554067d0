"""Which of the running trials are silent: their folders have not changed for long.

An epoch may take hours, so nothing is stopped: the trial is named, with what its process does.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

USUAL = 3600  # seconds without a sign
SIGNS = ("config.yaml", "log.jsonl", "checkpoint.pt")  # what a running trial writes
_STATES = {
    "T": "is stopped: kill -CONT {pid} continues it",
    "t": "is stopped by a debugger",
    "D": "waits for a disk or a file server",
    "Z": "is dead",
}


@dataclass
class Watch:
    """Looks at running trials now and then.

    Args:
        limit: seconds without a sign after which a trial is named, once; 0: never.
    """

    limit: float
    seen: dict[Path, tuple[object, float]] = field(default_factory=dict)
    named: set[Path] = field(default_factory=set)

    @property
    def pause(self) -> float | None:
        """Seconds between two looks; None: there is nothing to look at."""
        return min(self.limit / 4, 30) if self.limit else None

    def look(self, running: dict[Path, int | None]) -> list[str]:
        """Say which trials have become silent.

        Args:
            running: their folders, and the processes that run them.
        """
        self.seen = {folder: self.seen[folder] for folder in running if folder in self.seen}
        self.named &= running.keys()
        told, now = [], time.monotonic()
        for folder, pid in running.items():
            sign = [_stamp(folder / name) for name in SIGNS]
            if folder not in self.seen or self.seen[folder][0] != sign:
                self.seen[folder] = sign, now
                self.named.discard(folder)
            elif now - self.seen[folder][1] >= self.limit and folder not in self.named:
                self.named.add(folder)
                told.append(
                    f"silent for {self.limit:g} s: {folder}: its process {pid} {state(pid)}"
                )
        return told


def state(pid: int | None) -> str:
    """What a process does, as far as this system tells."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        letter = content.rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "says nothing"
    return _STATES.get(letter, "runs: a long epoch, or it hangs").format(pid=pid)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
