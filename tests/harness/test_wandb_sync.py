"""scripts/wandb_sync.py: run folders to W&B afterwards, or while they grow; twice is once."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.cells.cell import LONGEST
from chandir.harness.config.schema import Wandb
from chandir.harness.tracking import mirror, tracker
from chandir.harness.tracking.wandb_run import identity
from scripts import wandb_sync
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
from tests.harness.test_tracker import check_rows, record_of

ENDLESS = "task.epochs=100000"


@pytest.mark.slow
def test_sync_mirrors_afterwards_and_twice_is_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, SHORT)
    interrupted(tmp_path, "trial=1")
    sync = [str(tmp_path), "--mode", "offline"]
    assert wandb_sync.main(sync) == 0
    assert "2 mirrored, 0 there already" in capsys.readouterr().out
    done, cut = (job(tmp_path, SHORT, f"trial={trial}").folder for trial in (0, 1))
    for folder in (done, cut):
        check_rows(record_of(folder), folder)
    (before,) = done.glob("wandb/offline-run-*")
    assert wandb_sync.main(sync) == 0  # the interrupted one may have grown, the other has not
    assert "1 mirrored, 1 there already" in capsys.readouterr().out
    assert list(done.glob("wandb/offline-run-*")) == [before]
    finished(tmp_path, SHORT, ALWAYS, "trial=1")
    assert wandb_sync.main(sync) == 0
    check_rows(record_of(cut), cut)
    assert record_of(cut).exit_code == 0
    assert not record_of(cut).preempting


def test_a_running_trial_is_mirrored_again_as_it_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = job(tmp_path, ENDLESS)
    folder = job(tmp_path, ENDLESS).folder
    child = forked(lambda: ran(planned))
    try:
        lengths = []
        for _ in range(2):
            wait_for(lambda: sum(epochs(tmp_path)) > (lengths[-1] if lengths else 0) + 3)
            assert wandb_sync.main([str(tmp_path), "--mode", "offline"]) == 0
            assert "1 mirrored" in capsys.readouterr().out
            recorded = record_of(folder)
            assert recorded.preempting  # W&B shall not call it failed
            lengths.append(len(recorded.history))
        assert lengths[1] > lengths[0] >= 3
    finally:
        os.kill(child, signal.SIGKILL)
        ended(child)


def test_a_folder_that_is_being_mirrored_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, SHORT)
    folder = job(tmp_path, SHORT).folder
    settings = Wandb(name="wandb", mode="offline", project="chandir", entity=None)
    (folder / "wandb").mkdir()
    command = tracker.command(folder, settings, "--follow")
    options: Any = {"stdin": subprocess.PIPE, "cwd": tracker.ROOT, "start_new_session": True}
    with subprocess.Popen(command, **options) as follower:
        wait_for(lambda: mirror.busy(folder, settings.model_dump()))
        assert wandb_sync.main([str(tmp_path), "--mode", "offline"]) == 0
        assert "1 followed live" in capsys.readouterr().out
        # SLURM sends USR2 to every process of a job: the last rows still arrive.
        wait_for(lambda: list(folder.glob("wandb/offline-run-*/run-*.wandb")))
        os.killpg(follower.pid, signal.SIGUSR2)
        os.kill(follower.pid, signal.SIGTERM)
        assert follower.stdin is not None
        follower.stdin.close()
        assert follower.wait(60) == 0
    check_rows(record_of(folder), folder)
    assert record_of(folder).exit_code == 0
    assert not mirror.busy(folder, settings.model_dump())


def test_a_damaged_trial_is_named_not_marked_and_keeps_no_other_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for trial in (0, 1):
        finished(tmp_path, SHORT, f"trial={trial}")
    hurt, well = (job(tmp_path, SHORT, f"trial={trial}").folder for trial in (0, 1))
    log = hurt / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    assert wandb_sync.main([str(tmp_path), "--mode", "offline"]) == 1
    told = capsys.readouterr()
    assert "1 mirrored, 0 there already, 0 followed live, 1 failed" in told.out
    assert f"{hurt}: damaged: log.jsonl has 3 epochs, final.json 4" in told.err
    assert not (hurt / "wandb").exists()
    assert (well / "wandb" / "mirrored.json").exists()
    finished(tmp_path, SHORT)  # it runs again
    assert wandb_sync.main([str(tmp_path), "--mode", "offline"]) == 0
    assert "1 mirrored, 1 there already" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_to_keeps_no_other_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for trial in (0, 1):
        finished(tmp_path, SHORT, f"trial={trial}")
    (job(tmp_path, SHORT).folder / "wandb").write_text("in the way")
    assert wandb_sync.main([str(tmp_path), "--mode", "offline"]) == 1
    told = capsys.readouterr()
    assert "1 mirrored, 0 there already, 0 followed live, 1 failed" in told.out
    assert "trial-0" in told.err


def test_names_are_as_short_as_wandb_takes_them() -> None:
    config = {"trial": 0, "task": {"name": "t"}, "artefact": "a" * 80, "scale": {"name": "paper"}}
    named = identity(Path("results/t/cell-0123456789/trial-0"), config)
    assert named["tags"] == ["a" * 64, "paper"]
    assert (named["name"], named["group"]) == ("cell-0123456789 trial 0", "cell-0123456789")
    cells = [f"results/t/{'n' * LONGEST}-{key * 10}/trial-0" for key in "01"]
    one, other = (identity(Path(cell), config) for cell in cells)
    for name in ("id", "name", "group"):
        assert len(one[name]) <= 128
        assert one[name] != other[name], "cells stay apart"
    assert one["name"].endswith("-0000000000 trial 0")


@pytest.mark.parametrize("name", ["a/b", "n" * 129, "", " "])
def test_a_project_that_wandb_would_refuse_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        wandb_sync.main([str(tmp_path), "--project", name])
    assert left.value.code == 2
    assert f"--project={name}: expected " in capsys.readouterr().err
