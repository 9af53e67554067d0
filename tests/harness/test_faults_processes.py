"""Faults 8, 9, 12, 15, 23 and 24: other processes, other hosts, memory, dead workers, lost GPUs."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from chandir.harness.base import host
from chandir.harness.durable import claim, provenance
from chandir.harness.durable.claim import Busy
from chandir.harness.parts import optimizers
from scripts import status
from tests.harness.faults import (
    ALWAYS,
    ENDLESS,
    LONG,
    SHORT,
    ended,
    epochs,
    finished,
    forked,
    interrupted,
    job,
    ran,
    saved,
    start,
    wait_for,
)


def segments(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "provenance.json").read_text())["segments"]
    return found


def test_two_processes_never_run_one_trial(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """Fault 8: the second one waits, and finds it done."""
    planned = job(tmp_path, SHORT)
    children = [forked(lambda: ran(planned)) for _ in range(3)]
    assert [ended(child) for child in children] == [0, 0, 0]
    assert len(segments(job(tmp_path, SHORT).folder)) == 1
    assert finished(tmp_path, SHORT) == undisturbed


def test_sweeps_at_the_same_time_share_the_work(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Fault 9: four sweeps hammer the same six trials while someone watches."""
    order = list(range(6))
    every = {trial: job(tmp_path, SHORT, f"trial={trial}") for trial in order}

    def run_all(seed: int) -> None:
        mine = random.Random(seed).sample(order, len(order))
        done = [ran(every[trial]) for trial in mine]
        raise SystemExit(0 if all(done) else 1)

    children = [forked(lambda seed=seed: run_all(seed)) for seed in range(4)]
    wait_for(lambda: [cell.count("done") for cell in status.found(tmp_path)] == [6])
    assert [ended(child) for child in children] == [0, 0, 0, 0]
    for trial in order:
        assert len(segments(job(tmp_path, SHORT, f"trial={trial}").folder)) == 1
    assert finished(tmp_path, SHORT) == undisturbed


def test_a_requeued_job_goes_on_elsewhere_and_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    """Fault 12: another job id, another host, another processor."""
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    folder = interrupted(tmp_path)
    assert (folder / "claim.json").exists()  # SIGKILL: nobody took it back
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    monkeypatch.setattr(host, "_identity", lambda source: f"another's {source}")
    monkeypatch.setattr(provenance, "device_name", lambda device: "another processor")
    with pytest.raises(Busy, match="being run by process"):
        finished(tmp_path, SHORT, ALWAYS)  # as far as one can tell from another host
    monkeypatch.setenv("SLURM_JOB_ID", "11")  # requeued, a job keeps its id
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    first, second = segments(folder)
    assert (first["after_epoch"], second["after_epoch"]) == (0, 2)
    assert first["device"]["name"] != second["device"]["name"] == "another processor"


def fail_at(epoch: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = optimizers.begin_epoch

    def failing(steppers: Any, config: Any, now: int) -> Any:
        if now == epoch:
            raise error
        return begin(steppers, config, now)

    monkeypatch.setattr(optimizers, "begin_epoch", failing)


def test_out_of_memory_is_a_clear_stop_and_the_next_trial_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], undisturbed: dict[str, Any]
) -> None:
    """Fault 15: a real limit, reached in the third epoch."""
    planned = job(tmp_path, SHORT, ALWAYS)
    next_one = job(tmp_path, SHORT, ALWAYS, "trial=1")
    begin = optimizers.begin_epoch

    def greedy(steppers: Any, config: Any, epoch: int) -> Any:
        if epoch == 3 and config.trial == 0:
            torch.zeros(1 << 32)
        return begin(steppers, config, epoch)

    def trials() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), used + (1 << 30)))
        optimizers.begin_epoch = greedy
        outcomes = [ran(planned), ran(next_one)]
        raise SystemExit(0 if outcomes == [False, True] else 1)

    assert ended(forked(trials)) == 0
    told = capfd.readouterr().err
    assert "out of memory: fewer hydra.launcher.workers" in told
    folder = job(tmp_path, SHORT).folder
    assert "Traceback" in (folder / "error.txt").read_text()
    assert saved(folder) == 2
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    assert not (folder / "error.txt").exists()


def test_a_gpu_out_of_memory_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 15, simulated."""
    fail_at(1, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), monkeypatch)
    assert not ran(job(tmp_path, SHORT))
    assert "a smaller task.batch_size" in capsys.readouterr().err


def test_a_lost_gpu_ends_the_process_and_the_trial_stays_resumable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    """Fault 24, simulated: a CUDA error sticks to its process."""
    with monkeypatch.context() as patch:
        fail_at(3, RuntimeError("CUDA error: unspecified launch failure"), patch)
        with pytest.raises(SystemExit) as left:
            ran(job(tmp_path, SHORT, ALWAYS))
    assert left.value.code == 1
    folder = job(tmp_path, SHORT).folder
    assert "CUDA error" in (folder / "error.txt").read_text()
    assert saved(folder) == 2
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed


def owner(results: Path, epochs: str, trial: int) -> int:
    text = (job(results, epochs, f"trial={trial}").folder / claim.NAME).read_text()
    return int(json.loads(text)["pid"])


@pytest.mark.slow
def test_a_killed_worker_takes_nobody_with_it_and_its_trial_goes_on(tmp_path: Path) -> None:
    """Fault 23: data lies in memory, so the only workers are those that run trials."""
    sweep_of_two = ("-m", "trial=range(2)", "hydra.launcher.workers=2", ALWAYS)
    process = start(tmp_path / "cut", LONG, *sweep_of_two)
    wait_for(lambda: len(epochs(tmp_path / "cut")) == 2, process)
    wait_for(lambda: min(epochs(tmp_path / "cut")) > 3, process)
    os.kill(owner(tmp_path / "cut", LONG, 0), signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "worker lost (SIGKILL)" in output
    for trial in ("trial=0", "trial=1"):
        undisturbed = finished(tmp_path / "whole", LONG, trial)
        assert finished(tmp_path / "cut", LONG, ALWAYS, trial) == undisturbed


@pytest.mark.slow
def test_a_worker_killed_twice_is_a_failed_trial(tmp_path: Path) -> None:
    """Fault 23: one retry, then a clear stop."""
    sweep_of_two = ("-m", "trial=range(2)", "hydra.launcher.workers=2", ALWAYS, "on_error=stop")
    process = start(tmp_path, ENDLESS, *sweep_of_two)
    folder = job(tmp_path, ENDLESS).folder
    for _ in range(2):
        before = sum(epochs(tmp_path))
        wait_for(lambda old=before: sum(epochs(tmp_path)) > old + 3, process)
        wait_for((folder / claim.NAME).exists, process)
        victim = owner(tmp_path, ENDLESS, 0)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda dead=victim: not Path(f"/proc/{dead}").exists(), process)
        wait_for(lambda dead=victim: _taken_over(folder, dead), process)
    assert "SIGKILL" in (folder / "error.txt").read_text()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert output.count("worker lost (SIGKILL)") == 2


def _taken_over(folder: Path, dead: int) -> bool:
    if (folder / "error.txt").exists():
        return True
    try:
        return bool(json.loads((folder / claim.NAME).read_text())["pid"] != dead)
    except (OSError, ValueError):
        return False
