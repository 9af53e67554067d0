"""Faults 1 to 7: kills inside a save, stale and damaged files, full and read-only disks."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.base import files
from chandir.harness.trial import checkpoint
from chandir.harness.trial.trial import run
from tests.harness.faults import (
    ALWAYS,
    SHORT,
    die_before,
    ended,
    finished,
    forked,
    interrupted,
    job,
    ran,
    saved,
)

NOBODY = 65534


def test_a_kill_inside_each_step_of_a_save_leaves_a_whole_generation(tmp_path: Path) -> None:
    """Fault 1."""
    loaded = []
    for call in range(1, 7):
        folder = tmp_path / str(call)
        folder.mkdir()
        for epoch in (1, 2):
            checkpoint.save(folder, {"epoch": epoch})

        def save(call: int = call, folder: Path = folder) -> None:
            die_before(call)
            checkpoint.save(folder, {"epoch": 3})

        status = ended(forked(save))
        assert status == (-signal.SIGKILL if call < 6 else 0)
        state, damaged = checkpoint.load(folder)
        assert not damaged
        assert state is not None
        loaded.append(state["epoch"])
        files.clean(folder)
        assert not list(folder.glob(".*"))
    # In the write, before its fsync, before each of two renames, before the folder's fsync, never.
    assert loaded == [2, 2, 2, 2, 3, 3]


def test_a_trial_killed_in_its_writes_again_and_again_ends_with_the_same_numbers(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Faults 1 and 2: any file of the run folder, any step; the log has each epoch once."""
    planned = job(tmp_path, SHORT, ALWAYS)
    chance = random.Random(0)
    kills = 0
    while not (planned.folder / "final.json").exists():

        def trial(call: int = chance.randint(1, 30)) -> None:
            die_before(call)
            run(planned.resolved, planned.folder)

        status = ended(forked(trial))
        assert status in (0, -signal.SIGKILL)
        kills += status != 0
        assert kills < 60
    assert kills >= 3
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    assert saved_weights(planned.folder).keys()


def saved_weights(folder: Path) -> dict[str, Any]:
    import torch

    weights: dict[str, Any] = torch.load(folder / "weights.pt", weights_only=True)
    return weights


def test_rows_after_the_checkpoint_and_cut_lines_are_dropped(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Fault 2."""
    folder = interrupted(tmp_path)
    with open(folder / "log.jsonl", "a") as log:
        log.write('{"epoch": 3, "train_loss": 9, "seconds": 1, "images_per_second": 1}\n{"epoc')
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed


def test_stale_temporary_files_are_ignored_and_cleaned(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Fault 3."""
    folder = job(tmp_path, SHORT).folder
    folder.mkdir(parents=True)
    for name in (".checkpoint.pt.4711.tmp", ".final.json.4711.tmp", ".config.yaml.1.tmp"):
        (folder / name).write_bytes(b"half")
    assert finished(tmp_path, SHORT) == undisturbed
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "both"])
def test_a_damaged_checkpoint_falls_back_and_the_numbers_stay(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
    damage: str,
) -> None:
    """Fault 4."""
    folder = interrupted(tmp_path)
    for name in checkpoint.NAMES if damage == "both" else checkpoint.NAMES[:1]:
        whole = (folder / name).read_bytes()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        cut = {"truncated": whole[:middle], "empty": b""}
        (folder / name).write_bytes(cut.get(damage, flipped))
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    told = capsys.readouterr().out
    assert "is damaged" in told
    assert ("starting anew" in told) == (damage == "both")


def test_a_disk_that_fills_up_is_told_and_loses_nothing(
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
) -> None:
    """Fault 5: a real disk, full from the second save on."""
    filler = small_disk / "filler"
    save = checkpoint.save

    def fill_and_save(folder: Path, state: dict[str, Any]) -> None:
        if state["epoch"] == 2:
            fill(filler)
        save(folder, state)

    monkeypatch.setattr(checkpoint, "save", fill_and_save)
    assert not ran(job(small_disk, SHORT, ALWAYS))
    told = capfd.readouterr().err
    assert "cannot save a checkpoint of" in told
    assert "the one before is intact" in told
    folder = job(small_disk, SHORT).folder
    assert saved(folder) >= 1
    assert not (folder / "final.json").exists()
    monkeypatch.setattr(checkpoint, "save", save)
    filler.unlink()
    assert finished(small_disk, SHORT, ALWAYS) == undisturbed


def fill(path: Path) -> None:
    path.write_bytes(b"x" * shutil.disk_usage(path.parent).free)


def test_a_disk_too_small_is_refused_before_training(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Fault 5: the estimate."""
    (small_disk / "most").write_bytes(b"x" * 15_900_000)
    assert not ran(job(small_disk, SHORT))
    assert "MB for the checkpoints and the weights of this trial" in capfd.readouterr().err
    assert not (job(small_disk, SHORT).folder / "log.jsonl").exists()


def test_a_quota_is_told_and_loses_nothing(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """Fault 5, without root: no file may grow beyond a limit, from the second save on."""
    planned = job(tmp_path, SHORT, ALWAYS)

    def trial() -> None:
        save = checkpoint.save

        def limit_and_save(folder: Path, state: dict[str, Any]) -> None:
            if state["epoch"] == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
            save(folder, state)

        checkpoint.save = limit_and_save
        raise SystemExit(0 if ran(planned) else 1)

    assert ended(forked(trial)) == 1
    folder = job(tmp_path, SHORT).folder
    assert saved(folder) == 1
    assert "cannot save a checkpoint" in (folder / "error.txt").read_text()
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that another user can reach; those of a test run are private."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("when", ["from the start", "in mid-training"])
def test_a_read_only_folder_is_fatal_and_loud(
    shared_folder: Path,
    capfd: pytest.CaptureFixture[str],
    undisturbed: dict[str, Any],
    when: str,
) -> None:
    """Fault 6, as a user whom permissions bind."""
    planned = job(shared_folder, SHORT, ALWAYS)
    folder = job(shared_folder, SHORT).folder

    def trial() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        folder.mkdir(parents=True)
        save = checkpoint.save

        def save_and_lock(where: Path, state: dict[str, Any]) -> None:
            save(where, state)
            folder.chmod(0o555)

        if when == "from the start":
            folder.chmod(0o555)
        checkpoint.save = save_and_lock
        raise SystemExit(0 if ran(planned) else 1)

    assert ended(forked(trial)) == 1
    assert "Permission denied" in capfd.readouterr().err
    assert not (folder / "final.json").exists()
    assert saved(folder) == (0 if when == "from the start" else 1)
    folder.chmod(0o777)
    assert finished(shared_folder, SHORT, ALWAYS) == undisturbed


def test_a_read_only_mount_is_fatal_and_loud(
    read_only: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Fault 6: nobody can write there, root neither."""
    assert not ran(job(read_only / "runs", SHORT))
    assert "Read-only file system" in capfd.readouterr().err
    assert not list(read_only.iterdir())


def test_nothing_is_staged_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    """Fault 7: it may be on another device, small or gone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert finished(tmp_path / "runs", SHORT, ALWAYS) == undisturbed
