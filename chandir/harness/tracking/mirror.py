"""A run folder on a dashboard: ``python -m chandir.harness.tracking.mirror FOLDER --to SETTINGS``.

The folder is the truth and is only read. Mirroring twice changes nothing. One process at a time
mirrors a folder, another one waits for it.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chandir import runfolder
from chandir.harness.base import files, signals
from chandir.harness.durable import claim
from chandir.harness.tracking import dashboard
from chandir.runfolder import log, reading, secrets
from chandir.runfolder.contents import read_config, read_provenance

POLL = 0.5  # seconds between two looks at a log that grows
LOCK = ".lock"
MARK = "mirrored.json"
LAST = 60  # seconds that a process may outlive the trial that it follows


def mirror(folder: Path, settings: Mapping[str, Any], follow: bool) -> None:
    """Bring a run folder to a dashboard.

    Args:
        folder: the trial's.
        settings: the configuration's ``tracker``.
        follow: go on until standard input ends; otherwise what is there now.

    Raises:
        Damaged: if the folder cannot be trusted; nothing is sent, and nothing marked as sent.
    """
    config, provenance = read_config(folder), read_provenance(folder)
    found = runfolder.read(folder)
    if found.status == "damaged" and not follow:
        raise runfolder.Damaged(found.reason)
    run = dashboard.opened(folder, secrets.mask(config), secrets.mask(provenance), settings)
    sent = 0
    while True:
        over = not follow or _ended()
        rows = log.rows(folder / log.NAME)
        run.rows(list(rows[sent:]))
        sent = len(rows)
        if over:
            break
    found = runfolder.read(folder)
    complete = found.complete and sent == len(found.log)
    run.end(found, complete)
    if complete:
        files.write(_place(folder, settings) / MARK, _mark(settings))


def _place(folder: Path, settings: Mapping[str, Any]) -> Path:
    """What a dashboard keeps in a run folder."""
    return folder / str(settings["name"])


def busy(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a process mirrors this folder now."""
    return claim.locked(_place(folder, settings) / LOCK)


def _alone(folder: Path, settings: Mapping[str, Any]) -> None:
    """Wait for the process that mirrors this folder; the lock ends with this process."""
    path = _place(folder, settings) / LOCK
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with suppress(OSError):  # no locks on this file system
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def mirrored(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the dashboard has the complete trial already."""
    try:
        mark = reading.content(_place(folder, settings) / MARK)
    except runfolder.Damaged:
        return False
    return mark == _mark(settings)


def _mark(settings: Mapping[str, Any]) -> bytes:
    return files.to_json({key: settings[key] for key in settings if key != "name"}).encode()


def _ended() -> bool:
    """Wait a moment; whether the trial is over, or its process gone."""
    if not select.select([sys.stdin], [], [], POLL)[0]:
        return False
    signal.alarm(LAST)
    return True


def main(arguments: list[str] | None = None) -> int:
    """Mirror one folder."""
    parser = argparse.ArgumentParser(description="mirror a run folder to a dashboard")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=json.loads, required=True, help="the tracker's settings, JSON")
    parser.add_argument("--follow", action="store_true", help="until standard input ends")
    options = parser.parse_args(arguments)
    if options.follow:  # SLURM sends a trial's signals to every process of the job
        for signum in signals.SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
    try:
        _alone(options.folder, options.to)
        mirror(options.folder, options.to, options.follow)
    except (runfolder.Damaged, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
