"""A trial as a sweep sees it: run, with any failure told, recorded and turned into an outcome."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from chandir.harness.base import signals
from chandir.harness.base.errors import UserError, out_of_memory
from chandir.harness.durable import outcomes
from chandir.harness.sweep.plan import Job
from chandir.harness.tracking import news, progress

DONE, FAILED, MEMORY = news.DONE, news.FAILED, "out of memory"  # how a trial ended


def attempt(job: Job) -> str:
    """Run one trial. Its end is told; a failure is recorded, and left to the summary.

    Args:
        job: the trial.

    Returns:
        DONE, FAILED, or MEMORY: a failure that may succeed with fewer trials at a time.

    Raises:
        Leave: for a signal.
        SystemExit: if the GPU is lost to this process.
    """
    from chandir.harness.trial import devices
    from chandir.harness.trial.trial import run

    with signals.listening():
        signals.check()
        news.tell(news.Started(job.folder))
        try:
            run(job.resolved, job.folder)
        except Exception as error:
            outcome = _failed(job.folder, error)
        else:
            return _done(job.folder)
        devices.free()
        return outcome


def attempt_all(jobs: Sequence[Job], size: int, ended: Callable[[int, str], bool]) -> None:
    """Run trials in a stack.

    Args:
        jobs: the trials.
        size: so many side by side.
        ended: told of each trial's end, by its place in the list, as `attempt` says it; false
            starts no further one.

    Raises:
        Leave: for a signal.
        SystemExit: if the GPU is lost to this process.
    """
    from chandir.harness.gpu import lanes

    trials = [(job.resolved, job.folder) for job in jobs]

    def told(trial: lanes.Trial, error: Exception | None) -> bool:
        return ended(trials.index(trial), _outcome(trial[1], error))

    with signals.listening():
        signals.check()
        lanes.run(trials, size, told)


def _outcome(folder: Path, error: Exception | None) -> str:
    return _done(folder) if error is None else _failed(folder, error)


def _done(folder: Path) -> str:
    news.tell(progress.ended(folder))
    return DONE


def _failed(folder: Path, error: Exception) -> str:
    """Tell of a failure, and let go of what its frames hold."""
    outcome = _told(folder, error)
    traceback.clear_frames(error.__traceback__)
    return outcome


def _told(folder: Path, error: Exception) -> str:
    outcomes.failed(folder, f"{type(error).__name__}: {error}")
    ours = isinstance(error, UserError)
    memory = not ours and out_of_memory(error)
    # The summary shows what the folder keeps; where it could not be told, this is the only place.
    kept = ours or (folder / "error.txt").is_file()
    trace = "" if kept else "".join(traceback.format_exception(error))
    why = str(error) if ours else f"{type(error).__name__}: {error}{_remedy(error)}"
    # A pool may run it again, with fewer at a time; nobody else does.
    again = memory and multiprocessing.parent_process() is not None
    news.tell(news.Ended(folder, MEMORY if again else FAILED, why=why, trace=trace))
    if memory:
        return MEMORY
    if not ours and "CUDA error" in str(error):  # it sticks to the process: nothing more runs here
        raise SystemExit(1) from None
    return FAILED


def _remedy(error: Exception) -> str:
    if out_of_memory(error):
        return (
            "\nout of memory: fewer hydra.launcher.workers, or a smaller task.batch_size (labelled)"
        )
    if any(words in str(error) for words in ("No space left", "Disk quota")):
        return "\nfree some space; the same command continues"
    return ""
