"""Fault 8 in detail: whose claim is live, whose is dead, and who is told."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.base import host
from chandir.harness.base.errors import UserError
from chandir.harness.durable import claim
from chandir.harness.durable.claim import Busy, Lost
from chandir.harness.durable.record import Record
from chandir.harness.trial import checkpoint
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


class Host:
    """Another host, as far as claims go: no lock of this one reaches it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boot = "here"
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)
        real = host.me
        monkeypatch.setattr(host, "me", lambda: real() | {"boot": self.boot})

    @contextmanager
    def on(self, boot: str) -> Iterator[None]:
        before, self.boot = self.boot, boot
        yield
        self.boot = before


def test_two_hosts_of_one_name_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Host(monkeypatch)
    with claim.claim(tmp_path) as held:
        with other.on("there"), pytest.raises(Busy, match="last seen"), claim.claim(tmp_path):
            pass
        held.look()  # the one that was there first is not disturbed
    assert not (tmp_path / claim.NAME).exists()


def test_an_owner_that_was_stopped_past_the_expiry_finds_another_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Host(monkeypatch)
    with claim.claim(tmp_path) as stopped:
        record = Record(tmp_path, stopped.look)
        record.truncate(0)
        record.append({"epoch": 1, "seconds": 1.0})
        os.utime(tmp_path / claim.NAME, (0, time.time() - claim.EXPIRY - 1))
        with other.on("there"), claim.claim(tmp_path) as new:
            log = (tmp_path / "log.jsonl").read_bytes()
            for write in (
                lambda: record.append({"epoch": 2, "seconds": 1.0}),
                lambda: record.put("final.json", {}),
                lambda: record.truncate(1),
                lambda: record.open({}, {}),
            ):
                with pytest.raises(Lost, match="taken over by process"):
                    write()
            saver = checkpoint.Saver(tmp_path, 0, stopped.look)
            with pytest.raises(Lost):
                saver.offer({"epoch": 1})
            assert sorted(path.name for path in tmp_path.iterdir()) == ["claim.json", "log.jsonl"]
            assert (tmp_path / "log.jsonl").read_bytes() == log
            stop = threading.Event()
            monkeypatch.setattr(claim, "HEARTBEAT", 0.0)
            stopped.beat(stop)  # ends by itself, and keeps no other's claim alive
            new.look()
        left_behind(tmp_path, host="another", boot="elsewhere")
    assert (tmp_path / claim.NAME).exists()  # another's is not removed


def test_of_two_that_start_at_once_the_last_to_sign_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Host(monkeypatch)
    monkeypatch.setattr(claim, "_refuse_other_host", lambda *_: None)  # nobody had signed
    with claim.claim(tmp_path) as first, other.on("there"), claim.claim(tmp_path) as second:
        second.look()
        with pytest.raises(Lost):
            first.look()


def test_a_log_that_another_process_wrote_to_is_not_written_to(tmp_path: Path) -> None:
    record, other = Record(tmp_path), Record(tmp_path)
    for each in (record, other):
        each.truncate(0)
    record.append({"epoch": 1, "seconds": 1.0})
    with pytest.raises(UserError, match="another one writes to it"):
        other.append({"epoch": 1, "seconds": 1.0})
    assert len(record.rows()) == 1


@pytest.mark.parametrize("age", [-claim.EXPIRY - 60, -(10**9), claim.EXPIRY + 60])
def test_a_foreign_claim_from_a_clock_that_jumped_expires(tmp_path: Path, age: float) -> None:
    left_behind(tmp_path, age=age, host="another", boot="elsewhere")
    assert not claim.running(tmp_path)
    with claim.claim(tmp_path):
        pass


def test_a_claim_of_this_machine_before_it_was_started_last_is_dead(tmp_path: Path) -> None:
    me = host.me() | {"boot": "the one before"}
    left_behind(tmp_path, age=time.time() - host._started() + 60, **me)
    with claim.claim(tmp_path):
        pass
    left_behind(tmp_path, **me)  # touched since: another host of the same name
    with pytest.raises(Busy), claim.claim(tmp_path):
        pass


@pytest.mark.parametrize(
    "make",
    [
        lambda path, to: path.symlink_to(to),
        lambda path, _: os.mkfifo(path),
        lambda path, _: os.mknod(path, stat.S_IFSOCK | 0o644),
    ],
    ids=["link", "pipe", "socket"],
)
def test_a_claim_is_never_written_through_a_link(tmp_path: Path, make: Any) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    folder = tmp_path / "trial-0"
    folder.mkdir()
    make(folder / claim.NAME, target)
    assert not claim.running(folder)
    with claim.claim(folder):
        assert claim.running(folder)
    assert target.read_text() == "mine"


def test_a_folder_in_the_claims_place_is_named(tmp_path: Path) -> None:
    (tmp_path / claim.NAME).mkdir()
    with pytest.raises(UserError, match=r"claim\.json is a folder"), claim.claim(tmp_path):
        pass


def test_a_shared_folder_is_written_with_the_groups_rights(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with claim.claim(tmp_path):
            Record(tmp_path).append({"epoch": 1, "seconds": 1.0})
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"claim.json": 0o664, "log.jsonl": 0o664}
