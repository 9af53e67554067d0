"""How far a sweep is, and how long the rest takes, from what its trials told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chandir.harness.tracking import news
from chandir.runfolder.contents import COMPLETE


@dataclass(frozen=True)
class Planned:
    """A trial that is going to be run.

    Attributes:
        folder: its run folder.
        name: short; what tells it from the others of the sweep.
        epochs: of the whole trial.
        kind: what decides how long an epoch takes.
    """

    folder: Path
    name: str
    epochs: int
    kind: Hashable = ()


@dataclass
class Running:
    """A trial under way. Epochs count with the fraction of the one that runs."""

    planned: Planned
    at: float = 0.0  # epochs behind it
    steps: int = 0
    of: int = 0  # steps of the whole trial
    loss: float | None = None
    score: str = ""
    since: float | None = None  # when the first step of this start was about to be made
    base: float = 0.0  # epochs behind it then
    base_steps: int = 0
    seen: float = 0.0  # when it last told of a step

    @property
    def epoch(self) -> int:
        """The one that runs, from 1."""
        return min(int(self.at + 1e-9) + 1, max(1, self.planned.epochs))

    @property
    def ran(self) -> tuple[float, float]:
        """Seconds and epochs of this start."""
        return (0.0, 0.0) if self.since is None else (self.seen - self.since, self.at - self.base)

    @property
    def rate(self) -> float | None:
        """Steps per second of this start, evaluation included."""
        seconds = self.ran[0]
        return (self.steps - self.base_steps) / seconds if seconds > 0.5 else None


@dataclass
class Standing:
    """Takes news in any order, also of trials that it knows nothing of.

    Attributes:
        planned: the trials to be run, by folder.
        before: trials that were complete already.
        clock: seconds.
        lock: held while news are taken in; whoever reads from another thread holds it too.
    """

    planned: dict[Path, Planned]
    before: int = 0
    clock: Callable[[], float] = time.monotonic
    running: dict[Path, Running] = field(default_factory=dict)
    ended: dict[Path, str] = field(default_factory=dict)  # how
    paces: dict[Hashable, tuple[float, float]] = field(default_factory=dict)  # seconds, epochs
    most: int = 0  # trials at a time, so far; fewer again once there was no memory for so many
    lock: Any = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def of(
        cls,
        planned: Sequence[Planned],
        before: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Standing:
        """Before anything has run."""
        return cls({each.folder: each for each in planned}, before, clock)

    def hear(self, told: news.News) -> None:
        """Take in what is told."""
        if not isinstance(told, news.Said):
            with self.lock:
                self._take(told)

    def _take(self, told: news.Started | news.Stepped | news.Epoch | news.Ended) -> None:
        planned = self.planned.setdefault(
            told.trial, Planned(told.trial, f"{told.trial.parent.name}/{told.trial.name}", 1)
        )
        if isinstance(told, news.Ended):
            self._keep(self.running.pop(told.trial, None))
            if told.how in (*COMPLETE, news.FAILED):
                self.ended[told.trial] = told.how
            else:
                self.most = len(self.running)
            return
        self.ended.pop(told.trial, None)  # it runs again
        trial = self.running.setdefault(told.trial, Running(planned))
        self.most = max(self.most, len(self.running))
        if isinstance(told, news.Stepped):
            self._step(trial, told)
        elif isinstance(told, news.Epoch):
            trial.loss, trial.score = told.loss, told.score
            trial.at = max(trial.at, float(told.epoch))

    def _step(self, trial: Running, told: news.Stepped) -> None:
        trial.steps, trial.of = told.done, told.steps
        trial.at = trial.planned.epochs * told.done / told.steps if told.steps else 0.0
        trial.seen = self.clock()
        if told.begun or trial.since is None:
            trial.since, trial.base, trial.base_steps = trial.seen, trial.at, told.done

    def _keep(self, trial: Running | None) -> None:
        if trial is not None:
            seconds, epochs = trial.ran
            before = self.paces.get(trial.planned.kind, (0.0, 0.0))
            self.paces[trial.planned.kind] = before[0] + seconds, before[1] + epochs

    @property
    def total(self) -> int:
        """Trials of the command line."""
        return self.before + len(self.planned)

    @property
    def complete(self) -> int:
        """Trials that have a result."""
        return self.before + sum(how in COMPLETE for how in self.ended.values())

    @property
    def failed(self) -> int:
        """Trials that ended without one."""
        return Counter(self.ended.values())[news.FAILED]

    @property
    def share(self) -> float:
        """Of the epochs of all trials to be run, those behind them: 0 to 1."""
        total = sum(each.epochs for each in self.planned.values())
        gone = sum(self.planned[folder].epochs for folder in self.ended)
        done = gone + sum(min(each.at, each.planned.epochs) for each in self.running.values())
        return min(1.0, done / total) if total else 1.0

    def left(self) -> float | None:
        """Seconds until all have ended, so many at a time as before; None: nothing was measured."""
        paces = self._paces()
        if not paces:
            return None
        typical = sum(paces.values()) / len(paces)
        work, longest = 0.0, 0.0
        for folder, each in self.planned.items():
            if folder in self.ended:
                continue
            at = self.running[folder].at if folder in self.running else 0.0
            own = max(0.0, each.epochs - at) * paces.get(each.kind, typical)
            work, longest = work + own, max(longest, own)
        # Between the end of one and the start of the next one fewer run: that is not the pace.
        return max(work / max(1, self.most), longest)

    def left_of(self, trial: Running) -> float | None:
        """Seconds until one of the running trials has ended."""
        seconds, epochs = trial.ran
        pace = seconds / epochs if epochs > 0 else self._paces().get(trial.planned.kind)
        return None if pace is None else max(0.0, trial.planned.epochs - trial.at) * pace

    def _paces(self) -> dict[Hashable, float]:
        """Seconds per epoch, by kind."""
        sums = dict(self.paces)
        for trial in self.running.values():
            seconds, epochs = trial.ran
            before = sums.get(trial.planned.kind, (0.0, 0.0))
            sums[trial.planned.kind] = before[0] + seconds, before[1] + epochs
        return {kind: seconds / epochs for kind, (seconds, epochs) in sums.items() if epochs > 0}
