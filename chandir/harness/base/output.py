"""Standard output and error that no trial dies of, on any terminal, pipe or disk."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Any

NARROW = 80  # columns of what is no terminal
# What the project prints beside ASCII, for terminals without it; bars keep their width.
SPELT = str.maketrans({
    "±": "+-", "−": "-", "—": "-", "–": "-", "…": "~", "·": "-", "λ": "lambda", "×": "x",
    "≥": ">=", "≤": "<=", "━": "#", "╸": "#", "─": "-", "²": "2",
})  # fmt: skip


# A terminal's escape codes, and the other characters that would move its cursor.
_CONTROL = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?|[\x00-\x08\x0b-\x1f\x7f]"
)


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
            self._stream.write(spelt(text))
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
        elif hasattr(stream, "reconfigure"):  # what a terminal cannot show gets a question mark
            stream.reconfigure(errors="replace")
        setattr(sys, name, Lasting(stream))


def unicode() -> bool:
    """Whether output may hold more than ASCII.

    In the locale C Python writes UTF-8 all the same: someone who asked for it is given ASCII.
    """
    asked = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return asked not in ("C", "POSIX") and encoding.lower().startswith("utf")


def spelt(text: str) -> str:
    """A text as this output can show it; call it before widths are measured."""
    return text if text.isascii() or unicode() else text.translate(SPELT)


def still(text: str) -> str:
    """A text without what would move a terminal's cursor, or colour what comes after it."""
    return _CONTROL.sub("", text)


def interactive() -> bool:
    """Whether someone watches a terminal on which lines can be drawn anew."""
    automatic = os.environ.get("CI", "").lower() not in ("", "0", "false")
    dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    return not automatic and not dumb and sys.stdout.isatty() and sys.stderr.isatty()


def columns() -> int:
    """How wide the output is; a pipe is as wide as a narrow terminal, unless COLUMNS says else."""
    return max(40, shutil.get_terminal_size((NARROW, 24)).columns) if watched() else _asked()


def watched() -> bool:
    """Whether standard output is a terminal."""
    try:
        return bool(sys.stdout.isatty())
    except ValueError:  # closed
        return False


def _asked() -> int:
    asked = os.environ.get("COLUMNS", "")
    return max(40, int(asked)) if asked.isdecimal() else NARROW
