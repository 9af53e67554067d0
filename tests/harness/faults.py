"""What the fault tests share: a trial long enough to be disturbed, and what it ends with if not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chandir.harness.base import files
from chandir.harness.sweep.attempt import DONE, attempt
from chandir.harness.sweep.plan import Job, jobs
from chandir.harness.trial import checkpoint
from chandir.harness.trial.trial import run
from tests.harness.runs import SMALL, command, numbers

COMMON = (*SMALL[:2], "metric=h0", "paths.page=null")
# The sweep of 12 trials that is killed here, and requeued and preempted on SLURM.
TWELVE = (*SMALL[:2], "paths.page=null", "metric=h0,h0_lambda,sobolev", "trial=range(4)")
SIX = (*TWELVE[:-2], "metric=h0,sobolev", "trial=range(3)")
SHORT = "task.epochs=4"
LONG = "task.epochs=100"  # seconds
ENDLESS = "task.epochs=100000"
ALWAYS = "checkpoint.seconds=0"


def job(results: Path, *overrides: str) -> Job:
    (only,) = jobs((*COMMON, f"paths.results={results}", *overrides))
    return only


def ran(trial: Job) -> bool:
    """Run it as a sweep does, here; whether it is complete."""
    return attempt(trial) == DONE


def finished(results: Path, *overrides: str) -> dict[str, Any]:
    """Run what is left of the trial, here; its numbers."""
    planned = job(results, *overrides)
    run(planned.resolved, planned.folder)
    return numbers(planned.folder)


def forked(work: Callable[[], object]) -> int:
    """Do something in a child process that may be killed; its process id. Faster than a new one."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except SystemExit as leave:
        status = int(leave.code or 0)
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def ended(child: int) -> int:
    """A child's exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(results: Path, *overrides: str, **options: Any) -> subprocess.Popen[str]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options
    return subprocess.Popen(command(*COMMON, f"paths.results={results}", *overrides), **options)


def wait_for(
    condition: Callable[[], object],
    process: subprocess.Popen[str] | None = None,
    seconds: float = 150,
) -> None:
    """Wait for something that the process does while it lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            output = process.stdout and process.stdout.read()
            raise AssertionError(f"it ended with {process.returncode}: {output}")
        assert time.monotonic() < deadline, f"waited {seconds} s"
        time.sleep(0.005)


def epochs(results: Path) -> list[int]:
    """Epochs logged so far, of each trial that began."""
    return [path.read_text().count("\n") for path in sorted(results.glob("*/*/*/log.jsonl"))]


def saved(folder: Path) -> int:
    """The epoch of the newest whole checkpoint; 0 if there is none."""
    state, _ = checkpoint.load(folder)
    return state["epoch"] if state else 0


def interrupted(results: Path, *overrides: str, epoch: int = 2) -> Path:
    """The folder of a trial that was killed right after saving an epoch."""
    planned = job(results, SHORT, ALWAYS, *overrides)

    def trial() -> None:
        save = checkpoint.save

        def save_and_die(folder: Path, state: dict[str, Any]) -> None:
            save(folder, state)
            if state["epoch"] == epoch:
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.save = save_and_die
        run(planned.resolved, planned.folder)

    assert ended(forked(trial)) == -signal.SIGKILL
    assert saved(planned.folder) == epoch
    return planned.folder


def die_before(call: int) -> None:
    """Kill this process before the n-th thing that it asks of the disk; in mid-write if that."""
    count = 0

    def now() -> bool:
        nonlocal count
        count += 1
        return count == call

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            if now():
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments)

        return wrapped

    def half_open(path: Path, mode: str) -> Any:
        file = open(path, mode, buffering=0)  # noqa: SIM115
        if "w" in mode and now():
            file.write(b"x" * 100)
            os.kill(os.getpid(), signal.SIGKILL)
        return file

    files.open = half_open  # type: ignore[attr-defined]
    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, wrap(getattr(os, name)))


FAULT = """
import os

replace = os.replace


def failing(source, target, **other):
    if str(target).endswith("trial-0/correlation.json"):
        raise OSError("injected")
    return replace(source, target, **other)


os.replace = failing
"""


def breaking(folder: Path) -> dict[str, str]:
    """An environment in which every Python process fails at the end of trial 0, as by a fault."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAULT)
    return {"PYTHONPATH": str(folder)}
