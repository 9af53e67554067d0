"""What a reader sees while trials run: lines where output is kept, a live display on a terminal.

Lines: what ended, and once a minute how far it is. The live display is in `live`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from chandir.harness.base import output
from chandir.harness.base.words import duration, many
from chandir.harness.tracking import news
from chandir.harness.tracking.standing import Planned, Running, Standing
from chandir.runfolder.contents import COMPLETE

if TYPE_CHECKING:
    from chandir.harness.tracking.live import Live

MINUTE = 60.0  # seconds between two lines on how far it is


class Face(Protocol):
    """One way to show news."""

    def show(self, told: news.News, standing: Standing) -> None:
        """Show what was told, which the standing has taken in."""


@contextmanager
def shown(planned: Sequence[Planned], before: int = 0, lines: bool = False) -> Iterator[None]:
    """Show what trials tell, while the block runs.

    Args:
        planned: the trials that are going to be run.
        before: trials of the command line that are complete already.
        lines: whether to print lines even on a terminal.
    """
    standing = Standing.of(planned, before)

    def hear_by(face: Face, told: news.News) -> None:
        standing.hear(told)
        face.show(told, standing)

    live = None if lines or not output.interactive() else _live(standing)
    if live is None:
        plain = Plain()
        with news.told_to(lambda told: hear_by(plain, told)):
            yield
    else:
        with live, news.told_to(lambda told: hear_by(live, told)):
            yield


def _live(standing: Standing) -> Live | None:
    """The live display, where what it needs is installed."""
    try:
        from chandir.harness.tracking.live import Live
    except ModuleNotFoundError:
        return None
    return Live(standing)


class Plain:
    """Lines, each whole: one per event, and one a minute.

    Args:
        pause: seconds between two lines on how far it is.
    """

    def __init__(self, pause: float = MINUTE) -> None:
        self.pause = pause
        self.last: float | None = None

    def show(self, told: news.News, standing: Standing) -> None:
        """Print what is worth a line."""
        if isinstance(told, news.Said):
            news.aloud(told)
        elif isinstance(told, news.Ended):
            if told.why:
                text = f"{told.trace}{ending(told, standing)}"
                news.aloud(news.Said(text, error=True))
            elif standing.total > 1:  # of one trial the summary says it
                print(f"{ending(told, standing)}{after(standing)}", flush=True)
        elif told.trial in standing.running:
            self._now_and_then(told, standing.running[told.trial], standing)

    def _now_and_then(self, told: news.News, trial: Running, standing: Standing) -> None:
        now = time.monotonic()
        first = self.last is None and isinstance(told, news.Epoch)
        if first or (self.last is not None and now - self.last >= self.pause):
            self.last = now
            print(f"{where(trial, standing)}{after(standing)}", flush=True)


def name(standing: Standing, told: news.Started | news.Ended) -> str:
    """A trial's short name."""
    return standing.planned[told.trial].name


def ending(told: news.Ended, standing: Standing) -> str:
    """How a trial ended, in a line, or several of a failure with a remedy."""
    if told.how in COMPLETE:
        took = f", {duration(told.seconds)}" if told.seconds else ""
        return f"{told.how}: {name(standing, told)}: {told.score}{took}"
    return f"{told.how}: {name(standing, told)}: {told.why}"


def where(trial: Running, standing: Standing) -> str:
    """Where a running trial is, in a line."""
    loss = "" if trial.loss is None else f", loss {trial.loss:.4g}"
    score = f", {trial.score}" if trial.score else ""
    epochs = trial.planned.epochs
    done = min(epochs, int(trial.at + 1e-9))
    return f"{trial.planned.name}: {done} of {many(epochs, 'epoch')}{loss}{score}"


def after(standing: Standing) -> str:
    """How far all of it is: `` (5 of 15 trials, about 4 min left)``."""
    parts = []
    if standing.total > 1:
        parts.append(f"{standing.complete} of {many(standing.total, 'trial')}")
    if standing.failed:
        parts.append(f"{standing.failed} failed")
    left = standing.left()
    if left and standing.share < 1:
        parts.append(f"about {duration(left)} left")
    return f" ({', '.join(parts)})" if parts else ""
