"""Several trials at a time on one machine, in worker processes that live for many trials.

A worker that dies (out of memory, a sticky GPU error) takes nobody with it: its trial is tried once
more in a new one, and continues from its checkpoint. When the parent is asked to leave, so is every
worker; when the parent is killed, its workers notice and leave.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from chandir.harness import cell, files, signals, sweep
from chandir.harness.arguments import CONF
from chandir.harness.plan import composed
from chandir.harness.resolve import resolve

Job = list[str]  # the overrides of one trial


def workers_for(device: str, threads: int) -> int:
    """As many trials as the cores hold at ``threads`` each on a CPU, one on a GPU."""
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return 1
    return max(1, len(os.sched_getaffinity(0)) // threads)


def run_all(jobs: list[Job], workers: int, stop_on_error: bool) -> None:
    """Run every job, ``workers`` at a time; with one worker, in this process.

    Args:
        jobs: the overrides of each trial.
        workers: processes.
        stop_on_error: start no further trial after a failure; what runs then is finished.

    Raises:
        Leave: for a signal, after the workers left.
    """
    print(f"{len(jobs)} trials, {workers} at a time", flush=True)
    if workers > 1:
        _Pool(jobs, workers, stop_on_error).run()
        return
    for job in jobs:
        if not _work(job, bar=True) and stop_on_error:
            return


class _Worker:
    """A process that runs one trial after the other."""

    def __init__(self) -> None:
        # spawn: a forked child inherits torch's thread pools in a state that may hang.
        context = multiprocessing.get_context("spawn")
        self.link, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other,))
        self.process.start()
        other.close()
        self.job: Job = []

    def take(self, job: Job) -> None:
        self.job = job
        self.link.send(job)

    def outcome(self) -> bool:
        """Whether its trial is complete; EOFError or ConnectionError if the process died."""
        return bool(self.link.recv())

    def end(self) -> str:
        """What a dead process died of."""
        self.process.join()
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class _Pool:
    def __init__(self, jobs: list[Job], size: int, stop_on_error: bool) -> None:
        self.waiting = deque(jobs)
        self.size = size
        self.stop_on_error = stop_on_error
        self.lost: list[Job] = []  # trials whose worker died once
        self.idle: list[_Worker] = []
        self.busy: dict[Any, _Worker] = {}

    def run(self) -> None:
        with _bar(len(self.waiting)) as bar:
            try:
                while self.waiting or self.busy:
                    while self.waiting and len(self.busy) < self.size:
                        self._hand_out()
                    for link in wait(list(self.busy)):
                        self._collect(self.busy.pop(link), bar)
            except signals.Leave as leave:
                print(f"{leave}: running trials save and leave", file=sys.stderr, flush=True)
                raise
            finally:
                self._dismiss()

    def _hand_out(self) -> None:
        worker = self.idle.pop() if self.idle else _Worker()
        self.busy[worker.link] = worker
        with contextlib.suppress(BrokenPipeError):  # it died idle; collecting it will tell
            worker.take(self.waiting.popleft())

    def _collect(self, worker: _Worker, bar: Any) -> None:
        try:
            done = worker.outcome()
        except (EOFError, ConnectionError):
            how = worker.end()
            print(f"worker lost ({how}): {' '.join(worker.job)}", file=sys.stderr, flush=True)
            if worker.job not in self.lost:
                self.lost.append(worker.job)
                self.waiting.appendleft(worker.job)
                return
            done = False
            _tell(worker.job, how)
        else:
            self.idle.append(worker)
        bar.update()
        if not done and self.stop_on_error:
            self.waiting.clear()

    def _dismiss(self) -> None:
        workers = [*self.idle, *self.busy.values()]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def _bar(total: int) -> Any:
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    return tqdm(total=total, unit="trial", leave=False, dynamic_ncols=True, disable=quiet)


def _serve(link: Connection) -> None:
    """A worker's life."""
    # The terminal sends Ctrl-C to every process; the parent passes it on, once, as TERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    with signals.listening(), contextlib.suppress(EOFError):
        while True:
            link.send(_work(link.recv()))


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _work(job: Job, bar: bool = False) -> bool:
    return sweep.job(_compose(job), bar=bar)


def _compose(job: Job) -> dict[str, Any]:
    if GlobalHydra.instance().is_initialized():  # in the process that Hydra launched from
        return composed(job)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return composed(job)


def _tell(job: Job, how: str) -> None:
    """Leave what happened in the run folder: the worker could not."""
    folder = cell.folder(resolve(_compose(job)))
    folder.mkdir(parents=True, exist_ok=True)
    text = f"its process died twice ({how}): out of memory? Fewer hydra.launcher.workers may help\n"
    files.write(folder / "error.txt", text.encode())
