"""Whoever reads the output may leave: the trial goes on. And what would not run is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chandir.harness.durable.record import Record
from tests.harness.runs import ROOT, SMALL, call, trials


@pytest.mark.parametrize(
    "sweep",
    [(), pytest.param(("-m", "trial=0,1", "hydra.launcher.workers=2"), marks=pytest.mark.slow)],
)
def test_a_reader_that_leaves_stops_no_trial(tmp_path: Path, sweep: tuple[str, ...]) -> None:
    command = [sys.executable, "run.py", *SMALL, *sweep, f"paths.results={tmp_path}"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, f"paths.page={tmp_path / 'page'}"] if sweep else command,
        cwd=ROOT, stdout=writer, stderr=writer, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 0
    assert all(Record(folder).complete for folder in trials(tmp_path))
    assert len(trials(tmp_path)) == (2 if sweep else 1)


@pytest.mark.slow
def test_closed_streams_stop_no_trial(tmp_path: Path) -> None:
    command = f"{sys.executable} run.py {' '.join(SMALL)} paths.results={tmp_path} >&- 2>&-"
    assert subprocess.run(command, shell=True, cwd=ROOT, check=False).returncode == 0
    assert all(Record(folder).complete for folder in trials(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("hydra/launcher=slurm",), "hydra/launcher=slurm has no effect on one trial; add -m"),
        (("-m", "data.root=a,b"), "data.root=a,b is a sweep over a setting that tells no cells"),
        (("-m", "device=cpu,auto"), "is a sweep over a setting that tells no cells apart"),
        (("-m", "trial=range(0,1,0)"), "trial=range(0,1,0): range() arg 3 must not be zero"),
        (("-m", "trial=range(0,1000000000)"), "1,000,000,000 values are more than 100,000"),
        (("paths.results=/proc/none",), "paths.results=/proc/none: No such file or directory"),
        (("task.train_size=1.5",), "train_size=1.5: expected a whole number"),
        (("hydra.job.chdir=true",), "only hydra/launcher and those of hydra.launcher.* can be set"),
        (("task=pascalvoc", "optimizer.reset_momentum=true"), "schedule=cosine has none"),
    ],
)
def test_what_would_not_run_is_refused(arguments: tuple[str, ...], why: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ["null", "5", '{"status": "done"}', "{", "[]"])
def test_a_damaged_result_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "final.json").write_text(content)
    assert not Record(tmp_path).complete


def test_rows_end_where_the_log_is_damaged(tmp_path: Path) -> None:
    good = json.dumps({"epoch": 1, "seconds": 1.0})
    for bad in (b"\xff\xfe", b"{}", b"5", json.dumps({"epoch": 3}).encode()):
        (tmp_path / "log.jsonl").write_bytes(good.encode() + b"\n" + bad + b"\n")
        assert [row["epoch"] for row in Record(tmp_path).rows()] == [1]
