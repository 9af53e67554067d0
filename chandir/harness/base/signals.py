"""Signals that ask to leave: INT (Ctrl-C), TERM, USR1, USR2, HUP (the terminal is gone).

The first one raises `Leave` in the main thread, at once. On its way out a trial saves the end of
its last whole epoch, its claim is released, the summary is printed, and the process exits with
128 + the signal's number: what a signal costs is the running epoch. Further ones change nothing,
but for a Ctrl-C after the first: it kills at once, which run folders survive as they do kill -9.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

_first: int | None = None  # the signal that came first, while `listening`


class Leave(SystemExit):
    """A signal asked to leave; ends the process with 128 + ``signum`` unless handled."""

    def __init__(self, signum: int) -> None:
        """Keep the signal."""
        super().__init__(128 + signum)
        self.signum = signum

    def __str__(self) -> str:
        return f"{signal.Signals(self.signum).name} received"


def check() -> None:
    """Leave if a signal came: Python drops what a handler raises inside a destructor.

    Raises:
        Leave: for the first signal.
    """
    if _first is not None:
        raise Leave(_first)


@contextmanager
def listening() -> Iterator[None]:
    """Listen while the block runs; inside another such block, or another thread, do nothing.

    A signal that was ignored stays ignored. One that had a handler, submitit's, has it called
    after everything is saved: it requeues the job.

    Raises:
        Leave: for the first signal.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is _receive:
        yield
        return
    handlers = {signum: signal.getsignal(signum) for signum in SIGNALS}
    # None: not Python's to give back (faulthandler's, for example).
    before = {n: old for n, old in handlers.items() if old not in (None, signal.SIG_IGN)}
    for signum in before:
        signal.signal(signum, _receive)
    try:
        yield
    except Leave as leave:
        # Our handlers stay, so that further signals do nothing. What had this signal before us
        # (submitit, which then requeues) gets its turn now.
        handler = before[signal.Signals(leave.signum)]
        if callable(handler) and handler is not signal.default_int_handler:
            signal.signal(leave.signum, handler)
            handler(leave.signum, None)
        raise
    except BaseException:
        _restore(before)
        raise
    _restore(before)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    global _first
    _first = None
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def _receive(signum: int, frame: FrameType | None) -> None:
    global _first
    if _first is None:
        _first = signum
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise Leave(signum)
