"""What trials and a sweep tell of themselves while they run, to whoever listens.

Who tells knows of no terminal: in a worker the listener hands the news to the sweep's process, in
that process it is the display, and where there is none the few things that are said are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """A trial is about to load its data and build its network."""

    trial: Path


@dataclass(frozen=True)
class Stepped:
    """A trial has steps behind it, those of before a resume included.

    Attributes:
        trial: its run folder.
        done: steps.
        steps: of the whole trial.
        begun: whether this is the first news of this start, which time is measured from.
    """

    trial: Path
    done: int
    steps: int
    begun: bool = False


@dataclass(frozen=True)
class Epoch:
    """A trial has ended an epoch.

    Attributes:
        trial: its run folder.
        epoch: which, from 1.
        loss: of training.
        score: the latest one, in words; empty until there is one.
    """

    trial: Path
    epoch: int
    loss: float
    score: str = ""


@dataclass(frozen=True)
class Ended:
    """A trial has ended, or what ran it.

    Attributes:
        trial: its run folder.
        how: done, diverged, failed, or why it is going to run again.
        score: the last epoch's, in words.
        seconds: that it took, resumed ones from their first start.
        why: of a failure, its last line, and the remedy.
        trace: its traceback, where nothing else keeps that.
    """

    trial: Path
    how: str
    score: str = ""
    seconds: float = 0.0
    why: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Said:
    """A line for the reader; ``error``: on standard error, where those are apart."""

    text: str
    error: bool = False


News = Started | Stepped | Epoch | Ended | Said
DONE, DIVERGED, FAILED = "done", "diverged", "failed"
_listeners: list[Callable[[News], None]] = []


@contextmanager
def told_to(listener: Callable[[News], None]) -> Iterator[None]:
    """Whoever has news in this process tells it to the listener, while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(news: News) -> None:
    """Tell the latest listener. No trial dies of what it tells, or of who hears it."""
    if _listeners:
        try:
            _listeners[-1](news)
        except Exception as error:
            if isinstance(news, Said):
                aloud(news)
            elif isinstance(news, Ended):
                print(f"{news.trial}: {news.how} ({error})", file=sys.stderr, flush=True)
    elif isinstance(news, Said):
        aloud(news)
    elif isinstance(news, Ended) and news.why:
        text = f"{news.trace}{news.how}: {news.trial}: {news.why}"
        aloud(Said(text, error=True))


def say(text: str, error: bool = False) -> None:
    """Tell a line."""
    tell(Said(text, error))


def aloud(said: Said) -> None:
    """Print it."""
    print(said.text, file=sys.stderr if said.error else sys.stdout, flush=True)
