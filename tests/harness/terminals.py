"""A real pseudo-terminal of a given size, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from tests.harness.runs import ROOT, command

ROWS = 30
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Terminal:
    """Runs a command, and keeps what it wrote.

    Attributes:
        columns: its width.
        env: what the command finds beside this process's environment; None takes one away.
    """

    columns: int = 80
    env: dict[str, str | None] = field(default_factory=dict)
    written: bytes = b""
    status: int | None = None

    def run(
        self,
        *overrides: str,
        cwd: Path = ROOT,
        look: Callable[[Terminal, subprocess.Popen[bytes]], None] | None = None,
        timeout: float = 240,
    ) -> Terminal:
        """run.py as a user calls it; ``look`` is called whenever something was written."""
        own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, self.columns, 0, 0))
        plain = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "CI": None, "NO_COLOR": None,
                 "LC_ALL": None, "COLUMNS": None, "LINES": None}  # fmt: skip
        env = {k: v for k, v in (os.environ | plain | self.env).items() if v is not None}
        process = subprocess.Popen(
            command(*overrides, "paths.page=null"), cwd=cwd, env=env,
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        end = time.monotonic() + timeout
        try:
            while time.monotonic() < end:
                if select.select([own], [], [], 0.2)[0]:
                    try:
                        heard = os.read(own, 65536)
                    except OSError:  # everyone has closed the other end
                        break
                    if not heard:
                        break
                    self.written += heard
                    if look is not None:
                        look(self, process)
            self.status = process.wait(max(1.0, end - time.monotonic()))
        finally:
            process.kill()
            process.wait()
            os.close(own)
        return self

    @property
    def text(self) -> str:
        """All that was written, without escapes."""
        return ESCAPES.sub("", self.written.decode("utf-8", "replace"))

    def screen(self) -> pyte.HistoryScreen:
        """The screen as it is now, with what has scrolled out of it."""
        screen = pyte.HistoryScreen(self.columns, ROWS, history=10_000)
        pyte.ByteStream(screen).feed(self.written)
        return screen

    def lines(self) -> list[str]:
        """Every line on the screen and above it."""
        screen = self.screen()
        above = ["".join(line[x].data for x in range(self.columns)) for line in screen.history.top]
        return [line.rstrip() for line in (*above, *screen.display)]
