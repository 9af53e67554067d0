"""Trials in worker processes that live for many of them, on one or several devices.

A worker that dies (out of memory, a sticky GPU error) takes nobody with it: its trials are tried
once more in a new one, and continue from their checkpoints. One without memory for its trial halves
the number of workers on its device. When the parent is asked to leave, so is every worker; when the
parent is killed, its workers notice and leave.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from chandir.harness.base import signals
from chandir.harness.base.words import many
from chandir.harness.sweep.attempt import DONE, FAILED, MEMORY
from chandir.harness.sweep.plan import Job
from chandir.harness.sweep.silence import USUAL, Watch
from chandir.harness.sweep.voices import Voices
from chandir.harness.sweep.worker import Outcome, Unit, Worker, end_all, tell, work
from chandir.harness.tracking import news


@dataclass(frozen=True)
class Packing:
    """What runs where.

    Attributes:
        units: all trials.
        places: processes on each device, by what they find in CUDA_VISIBLE_DEVICES; None: what is
            there already.
        why: in a line.
    """

    units: list[Unit]
    places: dict[str | None, int]
    why: str

    @property
    def at_a_time(self) -> int:
        """Trials."""
        sizes = sorted((min(unit.lanes, len(unit.jobs)) for unit in self.units), reverse=True)
        return sum(sizes[: sum(self.places.values())])


def run_all(packing: Packing, stop_on_error: bool, silence: float = USUAL) -> bool:
    """Run every trial; with one worker, in this process.

    Args:
        packing: what runs where.
        stop_on_error: start no further trial after a failure; what runs then is finished.
        silence: seconds without a sign of a trial in a worker after which it is named; 0: never.

    Returns:
        Whether to go on: false after a failure under ``stop_on_error``.

    Raises:
        Leave: for a signal, after the workers left.
    """
    count = sum(len(unit.jobs) for unit in packing.units)
    news.say(f"{many(count, 'trial')}, {packing.at_a_time} at a time: {packing.why}")
    if packing.places != {None: 1}:
        return _Pool(packing, stop_on_error, silence).run()

    def ended(index: int, outcome: str) -> bool:
        del index
        return outcome == DONE or not stop_on_error

    return all(work(unit, ended) for unit in packing.units)


@dataclass
class _Place:
    """A device's workers."""

    visible: str | None
    size: int
    busy: int = 0
    idle: list[Worker] = field(default_factory=list)


class _Pool:
    def __init__(self, packing: Packing, stop_on_error: bool, silence: float) -> None:
        self.watch, self.looked = Watch(silence), time.monotonic()
        self.waiting = deque(packing.units)
        self.places = [_Place(visible, size) for visible, size in packing.places.items()]
        self.stop_on_error = stop_on_error
        self.stopped = False
        self.voices = Voices()
        self.lost: list[Job] = []  # trials whose worker died once
        self.busy: dict[Any, tuple[Worker, _Place]] = {}  # by the worker's link

    def run(self) -> bool:
        try:
            while self.waiting or self.busy:
                while self.waiting and (free := [p for p in self.places if p.busy < p.size]):
                    self._hand_out(min(free, key=lambda place: place.busy))
                ready = wait(list(self.busy), self.watch.pause)
                for link in ready:
                    self._collect(*self.busy[link])
                self._name_the_silent()
        except signals.Leave as leave:
            news.say(f"{leave}: running trials save and leave", error=True)
            raise
        finally:
            self._dismiss()
        return not self.stopped

    def _name_the_silent(self) -> None:
        if self.watch.pause is None or time.monotonic() - self.looked < self.watch.pause:
            return
        self.looked = time.monotonic()
        running = {
            job.folder: worker.process.pid
            for worker, _ in self.busy.values()
            for job in worker.left[: worker.unit.lanes]
        }
        for line in self.watch.look(running):
            news.say(line, error=True)

    def _hand_out(self, place: _Place) -> None:
        if place.idle:
            worker = place.idle.pop()
        else:
            worker = Worker(place.visible, self.stop_on_error, self.voices.mouth)
        self.busy[worker.link] = worker, place
        place.busy += 1
        with contextlib.suppress(BrokenPipeError):  # it died idle; collecting it will tell
            worker.take(self.waiting.popleft())

    def _collect(self, worker: Worker, place: _Place) -> None:
        try:
            heard = worker.hear()
        except (EOFError, OSError):  # it died, perhaps within a word
            self._release(worker, place)
            self._bury(worker)
            return
        if heard is None:
            self._release(worker, place)
            if worker.spent:
                worker.retire()
            else:
                place.idle.append(worker)
            if worker.left and not self.stopped:  # they had no memory, which was not counted
                self.waiting.appendleft(replace(worker.unit, jobs=worker.left))
            return
        if not isinstance(heard, Outcome):
            if isinstance(heard, news.Ended) and heard.how == MEMORY and place.size == 1:
                heard = replace(heard, how=FAILED)  # there are no fewer at a time
            news.tell(heard)
            return
        job = worker.unit.jobs[heard.index]
        worker.left.remove(job)
        if heard.how == MEMORY and place.size > 1:
            self._halve(place)
            worker.spent = True
            self.waiting.appendleft(Unit([job]))  # it continues from its checkpoint
        elif heard.how != DONE:
            self._failed()

    def _halve(self, place: _Place) -> None:
        """Fewer workers on this device; those that run go on."""
        place.size = min(place.size, max(1, place.busy // 2))
        where = "" if place.visible is None else f" on GPU {place.visible}"
        news.say(f"out of memory: {many(place.size, 'worker')} at a time{where} from here on")

    def _bury(self, worker: Worker) -> None:
        """Start the trials of a dead worker again, but for those that another one died of."""
        how = worker.end()
        for job in worker.left:
            again = job not in self.lost
            lost = f"worker lost ({how})"
            what = (lost, "it is started again") if again else (FAILED, f"{lost} twice")
            news.tell(news.Ended(Path(str(job)), what[0], why=what[1]))
            if not again:
                tell(job, how)
                self._failed()
        rest = [job for job in worker.left if job not in self.lost]
        self.lost += rest
        if rest and not self.stopped:
            unit = replace(worker.unit, jobs=rest, lanes=max(1, worker.unit.lanes // 2))
            self.waiting.appendleft(unit)

    def _release(self, worker: Worker, place: _Place) -> None:
        del self.busy[worker.link]
        place.busy -= 1

    def _failed(self) -> None:
        if self.stop_on_error:
            self.stopped = True
            self.waiting.clear()

    def _dismiss(self) -> None:
        workers = [worker for place in self.places for worker in place.idle]
        workers += [worker for worker, _ in self.busy.values()]
        end_all(workers)
        self.voices.close()
