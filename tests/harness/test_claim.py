"""Fault 8 in detail: whose claim is live, whose is dead, and who is told."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chandir.harness import claim
from chandir.harness.claim import Busy
from chandir.harness.errors import UserError
from tests.harness.faults import SHORT, ended, forked, job, ran, wait_for


@contextmanager
def owner(folder: Path) -> Iterator[int]:
    """Another process that holds the claim for as long as the block lasts; its process id."""

    def hold() -> None:
        with claim.claim(folder):
            time.sleep(600)

    child = forked(hold)
    wait_for(lambda: claim.running(folder))
    wait_for(lambda: (folder / claim.NAME).read_bytes())
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        ended(child)


def left_behind(folder: Path, age: float = 0.0, **by: Any) -> Path:
    """The claim file of a process that is gone, last touched ``age`` seconds ago."""
    path = folder / claim.NAME
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), **by}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_live_claim_is_named_and_the_trial_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = job(tmp_path, SHORT).folder
    folder.mkdir(parents=True)
    monkeypatch.setattr(claim.claim.__wrapped__, "__defaults__", (0.2,))
    with owner(folder) as pid:
        assert not ran(job(tmp_path, SHORT))
        assert claim.running(folder)  # the owner's claim is as it was
    told = capsys.readouterr().err
    assert f"being run by process {pid} on {socket.gethostname()}" in told
    assert not (folder / "log.jsonl").exists()


def test_a_live_claim_is_waited_for(tmp_path: Path) -> None:
    with owner(tmp_path) as pid:

        def leave_soon() -> None:
            time.sleep(0.3)
            os.kill(pid, signal.SIGKILL)

        helper = forked(leave_soon)
        with claim.claim(tmp_path, patience=30):
            assert json.loads((tmp_path / claim.NAME).read_text())["pid"] == os.getpid()
        ended(helper)
    assert not (tmp_path / claim.NAME).exists()


def test_a_dead_claim_whose_number_another_process_has_is_free_at_once(tmp_path: Path) -> None:
    left_behind(tmp_path)  # with the id of this very process, which lives
    assert not claim.running(tmp_path)
    with claim.claim(tmp_path, patience=0):
        assert claim.running(tmp_path)


def test_watching_costs_the_owner_nothing(tmp_path: Path) -> None:
    with owner(tmp_path):
        for _ in range(100):
            assert claim.running(tmp_path)
        with pytest.raises(Busy), claim.claim(tmp_path, patience=0):
            pass
    assert not claim.running(tmp_path)


def test_another_hosts_claim_expires(tmp_path: Path) -> None:
    left_behind(tmp_path, age=claim.EXPIRY - 60, host="another")
    assert claim.running(tmp_path)
    with pytest.raises(Busy, match="on another, last seen"), claim.claim(tmp_path):
        pass
    left_behind(tmp_path, age=claim.EXPIRY + 1, host="another")
    assert not claim.running(tmp_path)
    with claim.claim(tmp_path):
        pass


def test_only_a_requeued_job_takes_over_its_own_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One job may have several nodes, whose processes live at the same time.
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    left_behind(tmp_path, host="another", slurm_job="7", slurm_restart=1)
    with pytest.raises(Busy), claim.claim(tmp_path):
        pass
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    with claim.claim(tmp_path):
        pass


def test_the_heart_goes_on_beating_after_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch, missed = os.utime, []

    def failing_once(path: Path) -> None:
        if not missed:
            missed.append(path)
            raise OSError(errno.ESTALE, "the file server is away")
        touch(path)

    monkeypatch.setattr(claim, "HEARTBEAT", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", failing_once)
        with claim.claim(tmp_path):
            path = tmp_path / claim.NAME
            touch(path, (0, 0))
            wait_for(lambda: path.stat().st_mtime > 0, seconds=20)
    assert missed


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    told = r"no locks.*choose another paths\.results"
    with pytest.raises(UserError, match=told), claim.claim(tmp_path):
        pass
