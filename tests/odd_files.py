"""What may lie in a file's place, whatever the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o644),
    "folder": os.mkdir,
    "link": lambda path: path.symlink_to("/etc/hostname"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("/nowhere/file"),
    "huge": lambda path: path.touch() or os.truncate(path, 3 << 30),
    "empty": lambda path: path.write_bytes(b""),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "wide": lambda path: path.write_text("é\n", encoding="utf-16"),
    "wrong": lambda path: path.write_bytes(b"{}"),
}
