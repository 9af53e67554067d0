"""A dashboard beside a trial, never in its way: another process reads the run folder as it grows.

Training neither imports its package nor waits for it. Whatever goes wrong there (not installed, not
logged in, a server that refuses, hangs or limits) costs a line of text and at most ``PATIENCE``
seconds, once per process; `scripts/wandb_sync.py` and `scripts/tensorboard_sync.py` mirror the run
folders later.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

from chandir.harness.config.schema import NoTracker, Tracking
from chandir.harness.durable.provenance import ROOT
from chandir.harness.tracking import dashboard

PATIENCE = 10.0  # seconds, after a trial, for the last of it to reach the dashboard

_given_up = False  # one outage is told and waited for once, not in each trial of a sweep


class Tracker:
    """The process that mirrors one trial; with ``tracker=none``, nothing.

    Args:
        settings: the configuration's ``tracker``.
        folder: the trial's run folder.
    """

    def __init__(self, settings: Tracking, folder: Path) -> None:
        """Nothing runs yet."""
        self.settings = settings
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Follow the log from here on; its rows and the configuration are in place."""
        if isinstance(self.settings, NoTracker) or _given_up:
            return
        package = dashboard.package(self.settings.name)
        if importlib.util.find_spec(package) is None:
            self._give_up(f"{package} is not installed")
            return
        log = self.folder / self.settings.name / "mirror.log"
        with contextlib.suppress(OSError):
            log.parent.mkdir(exist_ok=True)
            with open(log, "wb") as output:
                self.process = subprocess.Popen(
                    command(self.folder, self.settings, "--follow"),
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # Ctrl-C is the trial's
                )
        if self.process is None:
            self._give_up("its process did not start")

    def close(self) -> None:
        """The trial is over: let the last of it through, but not for long."""
        if self.process is None:
            return
        process, self.process = self.process, None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            if process.wait(PATIENCE) != 0:
                self._give_up(last_line(self.folder, self.settings))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._give_up(f"no answer within {PATIENCE:g} s")

    def _give_up(self, why: str) -> None:
        global _given_up
        _given_up = True
        print(
            f"tracker={self.settings.name}: {why}; training goes on without it, "
            f"scripts/{self.settings.name}_sync.py mirrors the run folders later",
            file=sys.stderr,
            flush=True,
        )


def command(folder: Path, settings: Tracking, *flags: str) -> list[str]:
    """The command that mirrors one folder."""
    return [
        *(sys.executable, "-m", "chandir.harness.tracking.mirror", str(folder.resolve())),
        *("--to", settings.model_dump_json(), *flags),
    ]


def last_line(folder: Path, settings: Tracking) -> str:
    """What the mirroring process said last."""
    with contextlib.suppress(OSError):
        path = folder / settings.name / "mirror.log"
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return "it ended without a word"
