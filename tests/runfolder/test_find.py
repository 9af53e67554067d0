"""Which folders are trials, wherever links lead."""

from __future__ import annotations

from pathlib import Path

from chandir.report.read.runs import read
from chandir.runfolder import find
from tests import fake_runs


def test_a_cells_or_a_tasks_folder_that_was_moved_and_linked_back_is_found(tmp_path: Path) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    cell = fake_runs.cell(runs, fake_runs.H0, [90.0, 91.0])
    fake_runs.cell(runs, fake_runs.H0, [70.0], task="cifar10")
    for moved in (cell, runs / "cifar10"):
        before = find.folders(runs)
        target = elsewhere / moved.name
        elsewhere.mkdir(exist_ok=True)
        moved.rename(target)
        moved.symlink_to(target)
        assert find.folders(runs) == before
    assert [trial.status for trial in read(runs)] == ["done"] * 3


def test_links_to_what_is_there_and_to_folders_above_add_nothing(tmp_path: Path) -> None:
    cell = fake_runs.cell(tmp_path, fake_runs.H0, [90.0])
    (tmp_path / "again").symlink_to(cell.parent)
    (tmp_path / "a-copy-of-the-cell").symlink_to(cell)
    (cell / "up").symlink_to(tmp_path)
    (cell / "trial-7").symlink_to(cell / "trial-0")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    deep = tmp_path.parent / f"{tmp_path.name}-system"  # which is not walked through
    (deep / "a" / "b" / "c" / "trial-0").mkdir(parents=True)
    (tmp_path / "system").symlink_to(deep)
    assert find.folders(tmp_path) == [cell / "trial-0"]
    assert find.folders(cell / "trial-0") == [cell / "trial-0"]
