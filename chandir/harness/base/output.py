"""Standard output and error that no trial dies of."""

from __future__ import annotations

import os
import sys
from typing import Any


class Lasting:
    """A text stream that goes silent when its reader has left or its disk is full.

    A closed pipe, a terminal that is gone and a full disk behind ``> log`` raise an OSError in
    whatever prints next, which may be hours into a trial.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as far as anyone reads."""
        try:
            self._stream.write(text)
        except OSError:
            self._silence()
        return len(text)

    def flush(self) -> None:
        """Flush likewise."""
        try:
            self._stream.flush()
        except OSError:
            self._silence()

    def _silence(self) -> None:
        """What is buffered, and what comes, goes nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def outlast() -> None:
    """Make this process's streams lasting; one that was closed before the start is replaced."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # started with >&-
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):  # a terminal without ± gets a question mark
            stream.reconfigure(errors="replace")
        setattr(sys, name, Lasting(stream))
