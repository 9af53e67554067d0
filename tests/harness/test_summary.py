"""What a command line would run, and how long that takes."""

from __future__ import annotations

from pathlib import Path

from chandir.harness import summary
from chandir.harness.plan import Job, jobs
from chandir.harness.record import Record
from tests.harness.runs import WHOLE


def sweep(tmp_path: Path, *arguments: str) -> list[Job]:
    return jobs((f"paths.results={tmp_path}", "task.epochs=4", *arguments))


def log(job: Job, *seconds: float) -> None:
    job.folder.mkdir(parents=True)
    for epoch, each in enumerate(seconds, 1):
        Record(job.folder).append({"epoch": epoch, "seconds": each})


def test_a_plan_counts_cells_trials_steps_and_what_is_done(tmp_path: Path) -> None:
    planned = sweep(tmp_path, "metric=h0,sobolev", "optimizer=sgd,adam", "trial=range(2)")
    lines = summary.plan_text(planned).splitlines()
    assert lines[0].startswith("8 trials of 4 cells, 1,056 steps, under ")  # 257 images in 8s
    assert "2 trials of 4 epochs, 132 steps each, 0 done" in lines[1]
    # What holds for every cell is said once.
    assert sum("label: digits is not in the paper" in line for line in lines) == 1
    assert sum("note: conf/task has no row for adam" in line for line in lines) == 2
    assert lines[-1].startswith("time left: unknown")


def test_the_time_left_is_that_of_the_epochs_left_at_the_pace_measured(tmp_path: Path) -> None:
    first, second, third, *_ = planned = sweep(tmp_path, "metric=h0,sobolev", "trial=range(3)")
    log(first, 28, 32)  # two of four epochs, 30 s each: 2 + 4 + 4 left in this cell
    text = summary.plan_text(planned)
    # The other cell has the same network and batch size: 12 epochs at the same pace.
    assert "about 11.0 min left, one trial after the other, as measured (1 cells at" in text
    totals = {"epochs": 4, "seconds": 240.0}
    for job in (second, third, *planned[3:]):
        job.folder.mkdir(parents=True)
        Record(job.folder).put("final.json", WHOLE | {"totals": totals})
    text = summary.plan_text(planned)
    assert f"about {2 * (30 + 60 + 60) / 3 / 60:.1f} min left" in text
    (first.folder / "log.jsonl").unlink()
    Record(first.folder).put("final.json", WHOLE | {"totals": totals})
    assert " left" not in summary.plan_text(planned).splitlines()[-1]
