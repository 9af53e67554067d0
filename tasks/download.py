"""What can go wrong with a public data set's files, said within seconds and in words."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import socket
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path

TIMEOUT = 10.0  # seconds without an answer after which a server counts as out of reach
DRAFT = ".download"  # the folder in the root that is downloaded into


def fetch(
    root: Path,
    missing: Callable[[], list[str]],
    download: Callable[[str], object],
    elsewhere: str = "",
) -> None:
    """Have the files that are missing downloaded, by one process at a time.

    Trials that start together wait for the one that downloads, and then find the files there and
    whole: they come into a folder of their own, which a download that was killed or brought
    something else leaves to the next one to remove, and move to their place when all are there.

    Args:
        root: folder that holds the data set; made if need be.
        missing: names the files that are not there; asked again once it is this process's turn.
        download: torchvision's own download into a root, which verifies what it fetched.
        elsewhere: another way to the files, for the message; ends in a comma.

    Raises:
        FileNotFoundError: if the files are still not there, whether for want of a network, a broken
            transfer or a folder that cannot be written.
    """
    path = root / ".download.lock"
    cause: Exception | None = None
    try:
        if path.exists():  # files that are being unpacked are there, but not whole
            with path.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH)
        if missing() or (root / DRAFT).exists():
            root.mkdir(parents=True, exist_ok=True)
            with path.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                shutil.rmtree(root / DRAFT, ignore_errors=True)  # of a process that was killed
                if missing():
                    _bring(root, missing(), download)
    except (OSError, RuntimeError, HTTPException) as error:
        cause = error
    if names := missing():
        raise FileNotFoundError(
            f"{', '.join(names)}: not found under data.root={root}, and the download failed "
            f"({cause or 'it brought other files'}); put the files there, name the folder that has "
            f"them with data.root, {elsewhere}connect to a network, or take data.source=synthetic "
            "for a small stand-in"
        ) from cause


def _bring(root: Path, names: list[str], download: Callable[[str], object]) -> None:
    """Download into a draft of the root, and move what is missing from there."""
    draft = root / DRAFT
    draft.mkdir()
    try:
        patiently(lambda: download(str(draft)))
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if (draft / name).exists() and not (root / name).exists():
                (draft / name).rename(root / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def patiently(download: Callable[[], object]) -> None:
    """Call a download that gives up on a server that stays silent for TIMEOUT seconds."""
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        download()
    finally:
        socket.setdefaulttimeout(patience)


def verify(files: Iterable[tuple[Path, str]]) -> None:
    """Check each file against the md5 that its publisher gives.

    Raises:
        ValueError: for the first that differs.
    """
    for path, expected in files:
        with path.open("rb") as file:
            digest = hashlib.md5(usedforsecurity=False)
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != expected:
            raise ValueError(
                f"{path}: md5 {digest.hexdigest()}, expected {expected}; delete the file to have "
                "it downloaded again, or accept a repacked copy with data.verify=false"
            )
