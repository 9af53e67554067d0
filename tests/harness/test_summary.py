"""What a command line would run, and how long that takes."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from chandir.harness.sweep import summary, table
from chandir.harness.sweep.plan import Job, jobs
from tests.harness.runs import begun, complete, whole


def sweep(tmp_path: Path, *arguments: str) -> list[Job]:
    return jobs((f"paths.results={tmp_path}", "task.epochs=4", *arguments))


def test_a_plan_counts_cells_trials_steps_and_what_is_done(tmp_path: Path) -> None:
    planned = sweep(tmp_path, "metric=h0,sobolev", "optimizer=sgd,adam", "trial=range(2)")
    lines = summary.plan_text(complete(planned)).splitlines()
    assert lines[0].startswith("8 trials of 4 cells, 1,056 steps, under ")  # 257 images in 8s
    assert "2 trials of 4 epochs, 132 steps each, 0 done" in lines[2]
    # What holds for every cell is said once.
    assert sum("label: digits is not in the paper" in line for line in lines) == 1
    assert sum("note: conf/task has no row for adam" in line for line in lines) == 2
    assert lines[-1].startswith("time left: unknown")


def test_the_time_left_is_that_of_the_epochs_left_at_the_pace_measured(tmp_path: Path) -> None:
    first, second, third, *_ = planned = sweep(tmp_path, "metric=h0,sobolev", "trial=range(3)")
    begun(first, 2, 30)  # two of four epochs, 30 s each: 2 + 4 + 4 left in this cell
    text = summary.plan_text(complete(planned))
    # The other cell has the same network and batch size: 12 epochs at the same pace.
    assert "about 11.0 min left, one trial after the other, as measured (1 cell at" in text
    for job in (second, third, *planned[3:]):
        whole(job)
    text = summary.plan_text(complete(planned))
    assert f"about {2 * (30 + 60 + 60) / 3 / 60:.1f} min left" in text
    shutil.rmtree(first.folder)
    whole(first)
    assert " left" not in summary.plan_text(complete(planned)).splitlines()[-1]


def test_tracebacks_are_shown_once_each_and_users_errors_are_not(tmp_path: Path) -> None:
    planned = sweep(tmp_path, "metric=h0", "trial=range(4)")
    for job in planned[:3]:
        folder = begun(job, 1).folder
        fault = f"Traceback (most recent call last):\n  at work\nIndexError: {folder}\n"
        (folder / "error.txt").write_text(fault)
    user = "Traceback (most recent call last):\nchandir.harness.base.errors.UserError: no data\n"
    (planned[2].folder / "error.txt").write_text(user)
    text = summary.text(complete(planned))
    assert text.count("    Traceback (most recent call last):") == 1
    assert f"{planned[0].folder} and 1 more:" in text
    assert f"failed: {planned[2].folder}: chandir.harness.base.errors.UserError: no data" in text


def test_what_a_diverged_trial_scored_is_in_no_mean_of_the_harness() -> None:
    primary = {"name": "test_accuracy", "unit": "%"}
    done, diverged = (
        {"status": status, "score": primary, "last": {"test_accuracy": value}}
        for status, value in (("done", 90.0), ("diverged", 12.0))
    )
    assert table.score([done, diverged]) == "90.00 %"
    assert table.score([diverged, diverged]) == "not finite"


def test_the_page_that_is_suggested_can_be_pasted_where_a_folder_has_a_space(
    tmp_path: Path,
) -> None:
    planned = sweep(tmp_path / "my runs")
    whole(planned[0])
    told = summary.text(complete(planned))
    (line,) = (each for each in told.splitlines() if "scripts/report.py" in each)
    runs, page = tmp_path / "my runs", tmp_path / "page"
    words = shlex.split(line.partition("python ")[2])
    assert words == ["scripts/report.py", str(runs), "--out", str(page)]
