from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.tracking import tracker
from tests.harness.faults import SHORT, finished


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the short trial that the fault tests disturb."""
    return finished(tmp_path_factory.mktemp("whole"), SHORT)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No dashboard is given up, nor soon: the machine may be busy. Outages set their own."""
    monkeypatch.setattr(tracker, "_given_up", False)
    monkeypatch.setattr(tracker, "PATIENCE", 60.0)


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, in memory."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "disk", "size=16m") as folder:
        yield folder


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "locked", "size=1m,ro") as folder:
        yield folder
