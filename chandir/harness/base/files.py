"""Files that are never half-written: temporary file in the same folder, fsync, rename, fsync."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


def write(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``; a reader sees the old file or the new one, always whole.

    Raises:
        OSError: disk full, no permission; the old file is then untouched.
    """
    os.replace(prepare(path, content), path)
    sync_folder(path.parent)


def prepare(path: Path, content: bytes) -> Path:
    """Put ``content`` on the disk beside ``path``, ready to be renamed; returns where.

    Raises:
        OSError: disk full, no permission; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync(path: Path) -> None:
    """Bring what was appended to a file to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames inside the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clean(folder: Path) -> None:
    """Remove the temporary files that a killed process left behind."""
    for stale in folder.glob(".*.tmp"):
        if not stale.is_dir():
            stale.unlink(missing_ok=True)


def to_json(value: Any, indent: int | None = None) -> str:
    """Standard JSON: what is not finite becomes null, for JSON has no NaN."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
