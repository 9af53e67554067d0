"""Fault 18: W&B beside a trial. It records what ran, and its failures stay its own."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.config.schema import Wandb
from chandir.harness.durable.record import Record
from chandir.harness.tracking import tracker
from chandir.harness.trial.trial import run
from tests.harness.faults import (
    ALWAYS,
    SHORT,
    ended,
    epochs,
    finished,
    forked,
    interrupted,
    job,
    ran,
    wait_for,
)
from tests.harness.runs import numbers
from tests.harness.wandb_records import Run, read

WANDB = "tracker=wandb"

pytestmark = pytest.mark.usefixtures("patient")


def record_of(folder: Path) -> Run:
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return read(path)


def check_rows(recorded: Run, folder: Path) -> None:
    """Every epoch once, against its own axis, with the log's numbers."""
    rows = Record(folder).rows()
    assert [row["_step"] for row in recorded.history] == [row["epoch"] for row in rows]
    for ours, theirs in zip(rows, recorded.history, strict=True):
        assert {key: theirs[key] for key in ours} == ours
    assert recorded.axes["*"] == "epoch"


def test_a_multirun_reads_back_as_the_runs_that_happened(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    cells = ("metric=h0", "metric=sobolev")
    planned = [
        job(tmp_path, SHORT, WANDB, cell, f"trial={trial}", "artefact=fig6", "scale=smoke")
        for cell in cells
        for trial in (0, 1)
    ]
    for each in planned:  # one process, as under hydra/launcher=basic
        run(each.resolved, each.folder)
    identities = []
    for each in planned:
        recorded = record_of(each.folder)
        check_rows(recorded, each.folder)
        final = Record(each.folder).final()
        assert recorded.config["metric"]["name"] == each.resolved.config.metric.name
        assert recorded.config["provenance"]["data"] == {
            "checksum": recorded.config["provenance"]["data"]["checksum"]
        }
        assert recorded.summary["status"] == "done"
        assert recorded.summary["last/test_accuracy"] == final["last"]["test_accuracy"]
        assert recorded.exit_code == 0
        identities.append(recorded.identity)
    cell = planned[0].folder.parent.name
    assert identities[0] == {
        "id": f"{cell.rpartition('-')[2]}-0",
        "project": "chandir",
        "group": cell,
        "job_type": "digits",
        "tags": ["fig6", "smoke"],
        "name": f"{cell} trial 0",
    }
    assert len({identity["id"] for identity in identities}) == 4
    assert len({identity["group"] for identity in identities}) == 2


def test_a_continued_trial_stays_one_run_and_the_numbers_stay(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    folder = interrupted(tmp_path, WANDB)
    assert finished(tmp_path, SHORT, ALWAYS, WANDB) == undisturbed
    check_rows(record_of(folder), folder)


def test_a_trial_that_is_asked_to_leave_closes_its_record(tmp_path: Path) -> None:
    planned = job(tmp_path, "task.epochs=100000", WANDB)
    folder = job(tmp_path, "task.epochs=100000").folder
    child = forked(lambda: ran(planned))
    wait_for(lambda: list(folder.glob("wandb/offline-run-*/run-*.wandb")) and epochs(tmp_path))
    os.kill(child, signal.SIGTERM)
    assert ended(child) == 128 + signal.SIGTERM
    recorded = record_of(folder)
    check_rows(recorded, folder)
    assert recorded.exit_code == 1  # not complete


def test_a_diverged_trials_nan_is_told_as_such(tmp_path: Path) -> None:
    finished(tmp_path, SHORT, WANDB, "optimizer.lr=1e20")
    recorded = record_of(job(tmp_path, SHORT, "optimizer.lr=1e20").folder)
    assert recorded.summary["status"] == "diverged"
    assert math.isnan(float(recorded.history[-1]["train_loss"]))


def test_without_wandb_training_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert finished(tmp_path, SHORT, WANDB) == undisturbed
    finished(tmp_path, SHORT, WANDB, "trial=1")
    assert capsys.readouterr().err.count("wandb is not installed") == 1  # told once


def test_without_a_login_training_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert finished(tmp_path / "runs", SHORT, WANDB, "tracker.mode=online") == undisturbed
    told = capsys.readouterr().err
    assert "API key" in told
    assert "wandb_sync.py mirrors the run folders later" in told


class Stub:
    """A server on this machine that answers as told, or not at all."""

    def __init__(self, answer: bytes | None) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.asked = threading.Event()
        self.answer = answer
        self.open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.open.append(connection)
                connection.recv(65536)
                self.asked.set()
                if self.answer is not None:
                    connection.sendall(self.answer)
                    connection.close()

    def close(self) -> None:
        self.socket.close()
        for connection in self.open:
            connection.close()


LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(
    params=[None, LIMITED, BROKEN, b"nonsense"], ids=["hangs", "429", "500", "nonsense"]
)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    stub = Stub(request.param)
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_BASE_URL", stub.url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield stub
    stub.close()


def test_a_server_that_does_not_work_is_left_alone(
    tmp_path: Path,
    server: Stub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished(tmp_path, SHORT)
    folder = job(tmp_path, SHORT).folder
    before = numbers(folder)
    following = tracker.Tracker(
        Wandb(name="wandb", mode="online", project="chandir", entity=None), folder
    )
    following.start()
    process = following.process
    assert process is not None
    wait_for(lambda: server.asked.is_set() or process.poll() is not None)
    assert server.asked.is_set()
    monkeypatch.setattr(tracker, "PATIENCE", 0.5)
    following.close()
    assert process.poll() is not None  # nothing is left behind
    assert "training goes on without it" in capsys.readouterr().err
    assert numbers(folder) == before
    again = tracker.Tracker(following.settings, folder)
    again.start()
    assert again.process is None  # one outage is waited for once


def test_a_server_that_refuses_leaves_the_numbers_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(tracker, "PATIENCE", 0.5)
    assert finished(tmp_path, SHORT, WANDB, "tracker.mode=online") == undisturbed
    assert "no answer within 0.5 s" in capsys.readouterr().err
