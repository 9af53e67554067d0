"""Faults 10, 11 and 25: signals save and leave; twice, Ctrl-C leaves at once."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chandir.harness.base import signals
from tests.harness.faults import (
    ENDLESS,
    LONG,
    ended,
    epochs,
    finished,
    forked,
    job,
    ran,
    saved,
    start,
    wait_for,
)
from tests.harness.runs import ROOT

NEVER = "checkpoint.seconds=1000000"  # what is saved, a signal saved


def test_each_signal_in_turn_saves_and_leaves_and_the_numbers_stay(tmp_path: Path) -> None:
    folder = job(tmp_path / "cut", LONG).folder
    planned = job(tmp_path / "cut", LONG, NEVER)
    before = 0
    for signum in signals.SIGNALS:
        child = forked(lambda: ran(planned))
        wait_for(lambda old=before: sum(epochs(tmp_path / "cut")) > old + 3)
        os.kill(child, signum)
        assert ended(child) == 128 + signum
        assert not (folder / "claim.json").exists()
        assert not (folder / "error.txt").exists()
        # Between logging an epoch and holding it there is an instant.
        assert sum(epochs(tmp_path / "cut")) - saved(folder) <= 1
        assert saved(folder) > before
        before = saved(folder)
    assert finished(tmp_path / "cut", LONG) == finished(tmp_path / "whole", LONG)


@pytest.mark.slow
def test_signals_in_a_loop_do_not_cut_the_save(tmp_path: Path) -> None:
    folder = job(tmp_path, ENDLESS).folder
    process = start(tmp_path, ENDLESS, NEVER)
    wait_for(lambda: sum(epochs(tmp_path)) > 3, process)
    while process.poll() is None:
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.002)
    # In its last instant the interpreter gives the signals back to the system.
    assert process.returncode in (128 + signal.SIGUSR1, -signal.SIGUSR1)
    assert sum(epochs(tmp_path)) - saved(folder) <= 1
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.slow
def test_workers_are_asked_to_leave_and_save_too(tmp_path: Path) -> None:
    sweep = ("-m", "trial=range(3)", "hydra.launcher.workers=2")
    process = start(tmp_path, ENDLESS, NEVER, *sweep)
    wait_for(lambda: len(epochs(tmp_path)) == 2 and min(epochs(tmp_path)) > 3, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "not finished" in output  # the summary
    for trial in (0, 1):
        folder = job(tmp_path, ENDLESS, f"trial={trial}").folder
        assert saved(folder) > 0
        assert not (folder / "claim.json").exists()
    assert not job(tmp_path, ENDLESS, "trial=2").folder.exists()


@pytest.mark.slow
def test_workers_whose_parent_is_killed_leave_by_themselves(tmp_path: Path) -> None:
    process = start(tmp_path, ENDLESS, NEVER, "-m", "trial=range(2)", "hydra.launcher.workers=2")
    wait_for(lambda: len(epochs(tmp_path)) == 2 and min(epochs(tmp_path)) > 3, process)
    process.kill()
    process.wait()
    claims = lambda: list(tmp_path.glob("*/*/*/claim.json"))  # noqa: E731
    deadline = time.monotonic() + 15
    while claims() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not claims()
    assert all(saved(job(tmp_path, ENDLESS, f"trial={trial}").folder) > 0 for trial in (0, 1))


def ctrl_c(results: Path, times: int, *overrides: str) -> tuple[int, str]:
    """Run in a terminal of its own, press Ctrl-C; the exit status and what the terminal showed."""
    ours, theirs = pty.openpty()
    process = start(
        results,
        *overrides,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # the controlling terminal
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = b""

    def read() -> bytes:
        nonlocal shown
        with contextlib.suppress(OSError):  # nothing to read, or everyone has closed it
            shown += os.read(ours, 65536)
        return shown

    wait_for(lambda: read() is not None and min(epochs(results), default=0) > 3, process)
    for _ in range(times):
        os.write(ours, b"\x03")
        time.sleep(0.05)
    deadline = time.monotonic() + 30
    while process.poll() is None:  # nobody leaves a terminal that is not read
        read()
        assert time.monotonic() < deadline, shown
    read()
    os.close(ours)
    return process.returncode, shown.decode(errors="replace")


@pytest.mark.parametrize(
    "sweep",
    [
        (),
        pytest.param(("-m", "trial=range(2)", "hydra.launcher.workers=2"), marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_once_saves_and_sums_up(tmp_path: Path, sweep: tuple[str, ...]) -> None:
    status, shown = ctrl_c(tmp_path, 1, ENDLESS, NEVER, *sweep)
    assert status == 128 + signal.SIGINT, shown
    assert "SIGINT received" in shown
    assert "not finished: the same command continues" in shown
    assert "Traceback" not in shown
    began = {path.parent for path in tmp_path.glob("*/*/*/log.jsonl")}
    assert began
    assert all(saved(folder) > 0 for folder in began)


@pytest.mark.slow
def test_ctrl_c_again_leaves_at_once_and_consistent(tmp_path: Path) -> None:
    status, shown = ctrl_c(tmp_path / "cut", 2, LONG, "checkpoint.seconds=0")
    assert status in (-signal.SIGINT, 128 + signal.SIGINT), shown
    assert finished(tmp_path / "cut", LONG) == finished(tmp_path / "whole", LONG)
    assert not list((tmp_path / "cut").glob("*/*/*/.*.tmp"))


def script(code: str) -> subprocess.CompletedProcess[str]:
    imports = "import os, signal, sys, time\nfrom chandir.harness.base import signals\n"
    return subprocess.run(
        [sys.executable, "-c", imports + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_ignored_signal_stays_ignored() -> None:
    # As `nohup`, or a shell without job control, starts what runs in the background.
    done = script(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with signals.listening():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert done.returncode == 0, done.stderr


def test_an_engines_handler_is_called_after_everything_is_saved() -> None:
    # submitit's requeues the job and exits.
    done = script(
        "signal.signal(signal.SIGUSR2, lambda *_: print('requeue') or sys.exit(7))\n"
        "with signals.listening():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGUSR2)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('save')\n"
    )
    assert done.stdout.split() == ["save", "requeue"]
    assert done.returncode == 7
