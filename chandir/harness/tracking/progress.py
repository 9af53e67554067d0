"""A trial's progress, told now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chandir import runfolder
from chandir.harness.tracking import news

PAUSE = 0.25  # seconds between two tellings of steps


class Progress:
    """Counts a trial's steps.

    Args:
        trial: its run folder.
        steps: of the whole trial.
        done: of these, before this start.
        score: the task's: name, unit.
    """

    def __init__(self, trial: Path, steps: int, done: int, score: Mapping[str, Any]) -> None:
        """Tell where it stands."""
        self.trial, self.steps, self.done, self.score = trial, steps, done, score
        self.shown = ""
        self.last = time.monotonic()
        news.tell(news.Stepped(trial, done, steps, begun=True))

    def tick(self) -> None:
        """One step done."""
        self.done += 1
        now = time.monotonic()
        if now - self.last > PAUSE:
            self.last = now
            news.tell(news.Stepped(self.trial, self.done, self.steps))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """One epoch done.

        Args:
            row: of the log.
        """
        if self.score["name"] in row:
            self.shown = in_words(row[self.score["name"]], self.score)
        loss = next(value for key, value in row.items() if key.startswith("train_loss"))
        news.tell(news.Stepped(self.trial, self.done, self.steps))
        news.tell(news.Epoch(self.trial, row["epoch"], loss, self.shown))


def in_words(value: float | None, score: Mapping[str, Any]) -> str:
    """``97.12 %``, or ``FID 23.10`` where there is no unit."""
    if value is None or not math.isfinite(value):
        return "not finite"
    unit = str(score.get("unit") or "")
    name = str(score["name"]).removeprefix("test_")
    return f"{value:.2f} {unit}" if unit else f"{name.upper()} {value:.2f}"


def ended(trial: Path) -> news.Ended:
    """The news of a trial that has ended without an error, from its ``final.json``."""
    found = runfolder.state(trial)
    if not found.complete:  # removed meanwhile
        return news.Ended(trial, news.DONE)
    final = found.final
    shown = in_words(final["last"].get(final["score"]["name"]), final["score"])
    return news.Ended(trial, found.status, shown, float(final["totals"]["seconds"]))
