"""A trial as a sweep sees it: run, with any failure told, recorded and turned into an outcome."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from chandir.harness.base import signals
from chandir.harness.base.errors import UserError, out_of_memory
from chandir.harness.durable import outcomes
from chandir.harness.sweep.plan import Job

DONE, FAILED, MEMORY = "done", "failed", "out of memory"  # how a trial ended


def attempt(job: Job, bar: bool = True) -> str:
    """Run one trial. A failure is recorded, told, and left to the summary.

    Args:
        job: the trial.
        bar: show a progress bar, if this is a terminal.

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
        try:
            run(job.resolved, job.folder, bar)
            return DONE
        except Exception as error:
            outcome = _failed(job.folder, error)
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
        return ended(trials.index(trial), DONE if error is None else _failed(trial[1], error))

    with signals.listening():
        signals.check()
        lanes.run(trials, size, told)


def _failed(folder: Path, error: Exception) -> str:
    """Tell of a failure, and let go of what its frames hold."""
    outcome = _told(folder, error)
    traceback.clear_frames(error.__traceback__)
    return outcome


def _told(folder: Path, error: Exception) -> str:
    outcomes.failed(folder, f"{type(error).__name__}: {error}")
    if isinstance(error, UserError):
        print(f"failed: {error}", file=sys.stderr, flush=True)
        return FAILED
    traceback.print_exception(error)
    print(f"failed: {folder}: {error}{_remedy(error)}", file=sys.stderr, flush=True)
    if out_of_memory(error):
        return MEMORY
    if "CUDA error" in str(error):  # it sticks to the process: nothing more can run here
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
