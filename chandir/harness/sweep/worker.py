"""A worker: a process that runs trials, one unit after the other, and tells how each one ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from chandir.harness.base import files, signals
from chandir.harness.base.output import outlast
from chandir.harness.durable import outcomes
from chandir.harness.sweep.attempt import DONE, attempt, attempt_all
from chandir.harness.sweep.plan import Job

GRACE = 20.0  # seconds to save and leave in; SLURM kills everything after 30


@dataclass(frozen=True)
class Unit:
    """What a process is given: trials, so many of them stacked at a time."""

    jobs: list[Job]
    lanes: int = 1


class Worker:
    """Its parent's end.

    Args:
        visible: what it finds in CUDA_VISIBLE_DEVICES; None: what is there already.
        stop_on_error: it starts no further trial of a unit after a failure.
    """

    def __init__(self, visible: str | None, stop_on_error: bool) -> None:
        # spawn: a forked child inherits torch's thread pools in a state that may hang.
        context = multiprocessing.get_context("spawn")
        self.link, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, visible, stop_on_error))
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

    def outcome(self) -> tuple[int, str] | None:
        """A trial's end, or None for the unit's. What the worker knows of failures is kept.

        Raises:
            EOFError: if the process died; or ConnectionError.
        """
        received = self.link.recv()
        if received is None:
            return None
        index, outcome, told = received
        outcomes.learn(told)
        return index, outcome

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
            print(
                f"process {worker.process.pid} did not leave within {GRACE:g} s, and is killed: "
                "what it ran continues from its last checkpoint",
                file=sys.stderr,
                flush=True,
            )
            worker.process.kill()
            worker.process.join()


def serve(link: Connection, visible: str | None, stop_on_error: bool) -> None:
    """A worker's life."""
    outlast()
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible  # before torch looks
    # The terminal sends Ctrl-C to every process; the parent passes it on, once, as TERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()

    def ended(index: int, outcome: str) -> bool:
        link.send((index, outcome, outcomes.drain()))
        return outcome == DONE or not stop_on_error

    with signals.listening(), contextlib.suppress(EOFError):
        while True:
            work(link.recv(), ended)
            link.send(None)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def work(unit: Unit, ended: Callable[[int, str], bool], bar: bool = False) -> bool:
    """Run a unit's trials; whether to go on."""
    going = True

    def told(index: int, outcome: str) -> bool:
        nonlocal going
        going = ended(index, outcome) and going
        return going

    if unit.lanes > 1:
        attempt_all(unit.jobs, unit.lanes, told)
        return going
    return all(told(index, attempt(job, bar=bar)) for index, job in enumerate(unit.jobs))


def tell(job: Job, how: str) -> None:
    """Leave what happened in the run folder: the worker could not."""
    text = f"its process died twice ({how}): out of memory? Fewer hydra.launcher.workers may help\n"
    outcomes.failed(job.folder, text)
    with contextlib.suppress(OSError):  # the summary has it in any case
        job.folder.mkdir(parents=True, exist_ok=True)
        files.write(job.folder / "error.txt", text.encode())
