"""Workers that hang, and trials whose folders cannot be told: the parent ends, and knows."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from chandir.harness.durable import outcomes
from chandir.harness.sweep import silence, summary, worker
from chandir.harness.sweep.silence import Watch
from tests.harness.faults import ENDLESS, epochs, job, start, wait_for
from tests.harness.runs import begun, complete


def children(pid: int) -> list[int]:
    """The processes that run trials: those of a process that are no resource tracker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parts = path.read_text().rpartition(")")[2].split()
            line = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(parts[1]) == pid and "spawn_main" in line:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_stopped_worker_is_named_and_does_not_hold_up_the_end(tmp_path: Path) -> None:
    sweep = ("-m", "trial=0,1", "hydra.launcher.workers=2", "hydra.launcher.silence=1")
    process = start(tmp_path, ENDLESS, *sweep)
    wait_for(lambda: len(epochs(tmp_path)) == 2 and min(epochs(tmp_path)) > 3, process)
    stopped = children(process.pid)[0]
    os.kill(stopped, signal.SIGSTOP)
    time.sleep(4)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    output, _ = process.communicate(timeout=worker.GRACE + 40)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert f"its process {stopped} is stopped: kill -CONT {stopped} continues it" in output
    assert f"process {stopped} did not leave within" in output
    assert not Path(f"/proc/{stopped}").exists()
    assert "not finished" in output  # the summary


def test_a_trial_is_silent_once_and_heard_when_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(silence.time, "monotonic", lambda: clock[0])
    watch = Watch(100)
    running: dict[Path, int | None] = {tmp_path: os.getpid()}
    assert watch.pause == 25

    def look(seconds: float) -> list[str]:
        clock[0] += seconds
        return watch.look(running)

    assert look(0) == []
    (tmp_path / "log.jsonl").write_text("1")
    assert look(99) == []
    assert look(99) == []
    (told,) = look(1)
    assert told.startswith(f"silent for 100 s: {tmp_path}: its process {os.getpid()} runs")
    assert look(500) == []
    (tmp_path / "log.jsonl").write_text("12")
    assert look(1) == []
    assert len(look(100)) == 1
    assert Watch(0).pause is None


def test_what_the_parent_knows_it_keeps(tmp_path: Path) -> None:
    """The folder could not be told of its failure: a full disk, another user's."""
    made = [job(tmp_path, f"trial={trial}") for trial in range(3)]
    begun(made[0], 1)
    outcomes.failed(made[0].folder, "Traceback:\nPermissionError: error.txt\n")
    outcomes.learn({made[1].folder: "OSError: no space"})  # as a worker hands it over
    try:
        text = summary.text(complete(made))
    finally:
        told = outcomes.drain()
    assert {made[0].folder, made[1].folder} <= set(told)
    assert text.splitlines()[:2] == ["cell  done  failed", "h0     0/3       2"]
    assert f"failed: {made[0].folder}: PermissionError: error.txt (told above)" in text
    assert f"failed: {made[1].folder}: OSError: no space (told above)" in text
    assert "1 of 3 trials is not finished" in text
