"""What this process knows of trials that failed, whatever their folders could be told.

A folder that cannot be written to, or a full disk, fails a trial and the record of its failure
alike. A worker hands what it knows to its parent with each outcome.
"""

from __future__ import annotations

from pathlib import Path

_known: dict[Path, str] = {}


def failed(folder: Path, why: str) -> None:
    """Remember a failure, by its last line."""
    lines = [line for line in why.splitlines() if line.strip()]
    _known[folder] = lines[-1].strip() if lines else "failed"


def of(folder: Path) -> str | None:
    """Why a trial failed, as far as this process was told; None if it was not."""
    return _known.get(folder)


def drain() -> dict[Path, str]:
    """All of it, which is then forgotten here: a worker's, for its parent."""
    told = dict(_known)
    _known.clear()
    return told


def learn(told: dict[Path, str]) -> None:
    """Take over what a worker knows."""
    _known.update(told)
