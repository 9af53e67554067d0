"""A worker: a process that runs trials, one unit after the other, and tells how each one ended.

Over its link come, in order: news of a trial, its `Outcome`, and None for the end of a unit. What
it prints, and what libraries in it print, goes into a pipe that all workers share, line by line.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from chandir.harness.base import files, signals
from chandir.harness.base.output import outlast
from chandir.harness.durable import outcomes, provenance
from chandir.harness.sweep.attempt import DONE, attempt, attempt_all
from chandir.harness.sweep.plan import Job
from chandir.harness.tracking import news

GRACE = 20.0  # seconds to save and leave in; SLURM kills everything after 30


@dataclass(frozen=True)
class Unit:
    """What a process is given: trials, so many of them stacked at a time."""

    jobs: list[Job]
    lanes: int = 1


@dataclass(frozen=True)
class Outcome:
    """How a trial of a unit ended.

    Attributes:
        index: its place in the unit.
        how: as `attempt` says it.
        known: what the worker knows of failures.
    """

    index: int
    how: str
    known: dict[Path, str] = field(default_factory=dict)


class Worker:
    """Its parent's end.

    Args:
        visible: what it finds in CUDA_VISIBLE_DEVICES; None: what is there already.
        stop_on_error: it starts no further trial of a unit after a failure.
        voice: where what it prints goes; None: where this process's does.
    """

    def __init__(
        self, visible: str | None, stop_on_error: bool, voice: Connection | None = None
    ) -> None:
        # spawn: a forked child inherits torch's thread pools in a state that may hang.
        context = multiprocessing.get_context("spawn")
        self.link, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, visible, stop_on_error, voice))
        self.process.start()
        other.close()
        self.unit = Unit([])
        self.left: list[Job] = []  # its trials that have not ended
        self.spent = False  # short of memory: not to be used again

    def take(self, unit: Unit) -> None:
        """Hand it a unit."""
        self.unit, self.left = unit, list(unit.jobs)
        self.link.send(unit)

    def retire(self) -> None:
        """End the process."""
        end_all([self])

    def hear(self) -> Outcome | news.News | None:
        """What it sent. What it knows of failures is kept.

        Raises:
            EOFError: if the process died; or OSError.
        """
        received: Outcome | news.News | None = self.link.recv()
        if isinstance(received, Outcome):
            outcomes.learn(received.known)
        return received

    def end(self) -> str:
        """What a dead process died of."""
        self.process.join(GRACE)
        if self.process.is_alive():  # its link is gone, and it is not
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def end_all(workers: Sequence[Worker]) -> None:
    """Ask processes to leave; kill those that do not within `GRACE`, as one that was stopped."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + GRACE
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            news.say(
                f"process {worker.process.pid} did not leave within {GRACE:g} s, and is killed: "
                "what it ran continues from its last checkpoint",
                error=True,
            )
            worker.process.kill()
            worker.process.join()


def serve(
    link: Connection, visible: str | None, stop_on_error: bool, voice: Connection | None = None
) -> None:
    """A worker's life."""
    if voice is not None:
        _speak_into(voice)
    outlast()
    provenance.sources()  # as they are imported now
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible  # before torch looks
    # The terminal sends Ctrl-C to every process; the parent passes it on, once, as TERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()

    def ended(index: int, outcome: str) -> bool:
        link.send(Outcome(index, outcome, outcomes.drain()))
        return outcome == DONE or not stop_on_error

    def forward(told: news.News) -> None:
        """Hand news on; how far a trial is, only to a parent that listens, for nothing waits."""
        if not isinstance(told, news.Stepped) or told.begun or _writable(link):
            link.send(told)

    with signals.listening(), contextlib.suppress(EOFError), news.told_to(forward):
        while True:
            work(link.recv(), ended)
            link.send(None)


def _writable(link: Connection) -> bool:
    asked = select.poll()
    asked.register(link, select.POLLOUT)
    return bool(asked.poll(0))


def _speak_into(voice: Connection) -> None:
    """Let all that this process prints, its libraries in C included, go where voice leads."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        with contextlib.suppress(AttributeError, OSError):  # closed, or its reader has left
            getattr(sys, name).flush()
        os.dup2(voice.fileno(), number)
        # Line by line, each of which is written at once, and so stays whole.
        stream = open(number, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    voice.close()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def work(unit: Unit, ended: Callable[[int, str], bool]) -> bool:
    """Run a unit's trials; whether to go on."""
    going = True

    def told(index: int, outcome: str) -> bool:
        nonlocal going
        going = ended(index, outcome) and going
        return going

    if unit.lanes > 1:
        attempt_all(unit.jobs, unit.lanes, told)
        return going
    return all(told(index, attempt(job)) for index, job in enumerate(unit.jobs))


def tell(job: Job, how: str) -> None:
    """Leave what happened in the run folder: the worker could not."""
    text = f"its process died twice ({how}): out of memory? Fewer hydra.launcher.workers may help\n"
    outcomes.failed(job.folder, text)
    with contextlib.suppress(OSError):  # the summary has it in any case
        job.folder.mkdir(parents=True, exist_ok=True)
        files.write(job.folder / "error.txt", text.encode())
