"""What plan, status and the end of a sweep say of complete trials of other code, data, weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.durable import provenance
from chandir.harness.sweep import summary
from chandir.harness.sweep.complete import Complete
from chandir.harness.sweep.plan import Job
from chandir.harness.sweep.sweep import prepare
from chandir.harness.trial import origins
from scripts import status
from tests.harness.changed import NETWORK, called, edited, old, trained
from tests.harness.faults import COMMON, SHORT
from tests.harness.runs import ROOT, complete, whole

SWEEP = (*COMMON, SHORT, "-m", "trial=range(5)")


def record(job: Job, **parts: Any) -> None:
    path = job.folder / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


@pytest.fixture
def sweep(tmp_path: Path) -> list[Job]:
    """Five trials: two of this code, one of other code, one on other data, one not begun."""
    made = prepare([*SWEEP, f"paths.results={tmp_path}"])
    for job in made[:4]:
        whole(job)
    code = provenance.code(made[0].resolved.config)
    record(made[2], sources=code | {NETWORK: "0" * 16})
    record(made[3], data={"checksum": "e" * 64})
    return made


def test_a_plan_tells_code_apart_and_says_that_data_were_not_compared(sweep: list[Job]) -> None:
    lines = summary.plan_text(complete(sweep)).splitlines()
    assert lines[2].endswith(" 5 trials of 4 epochs, 20 steps each, 3 done, 1 with other code "
                             + lines[2][-7:])  # fmt: skip
    how = f"{NETWORK} changed (git diff {'c' * 12} -- {NETWORK})"
    assert f"  1 with other code {lines[2][-7:]}: {how}" in lines
    assert any(line.startswith("  refused as it stands: on_change=restart") for line in lines)
    assert any(line.startswith("not compared: whether 4 complete trials ran on") for line in lines)
    assert lines[-1].startswith("about 4.0 min left")  # one trial of four epochs


def test_git_is_named_for_what_it_can_show() -> None:
    shown = [provenance.diff("c" * 40, names) for names in (
        [NETWORK], ["heat.py"], ["heat.py", NETWORK], ["mine/heat.py"],
    )]  # fmt: skip
    assert shown == [f" (git diff {'c' * 12} -- {NETWORK})", "", shown[0], ""]
    assert provenance.diff("", [NETWORK]) == ""


def test_a_plan_of_a_restart_has_the_time_of_what_runs_again(
    tmp_path: Path, sweep: list[Job]
) -> None:
    again = prepare([*SWEEP, f"paths.results={tmp_path}", "on_change=restart"])
    lines = summary.plan_text(complete(again)).splitlines()
    assert "  they run again (on_change=restart)" in lines
    assert lines[-1].startswith("about 8.0 min left")


def test_scores_of_two_versions_are_rows_of_their_own(sweep: list[Job]) -> None:
    for job, score in zip(sweep, (10.0, 20.0, 50.0, 90.0), strict=False):
        for name in ("final.json", "log.jsonl"):
            text = (job.folder / name).read_text()
            (job.folder / name).write_text(text.replace(": 94.0", f": {score}"))
    here = origins.Here()
    here.load([sweep[0].resolved], lambda config: "d" * 64)
    table = summary.text(Complete(sweep, here)).splitlines()
    assert table[1].split()[1:] == ["2/5", "15.00", "±", "7.07", "%", "4", "min"]
    assert table[2].startswith("  with other code ")
    assert table[2].split()[-5:] == ["1", "50.00", "%", "4", "min"]
    assert table[3].startswith("  with other data eeeeeee")
    assert table[3].split()[-5:] == ["1", "90.00", "%", "4", "min"]


def test_a_plan_reads_sources_once(tmp_path: Path) -> None:
    code = f"""
import sys
from chandir.harness.durable import provenance
from chandir.harness.sweep import summary
from chandir.harness.sweep.sweep import prepare
from tests.harness.runs import complete, whole
jobs = prepare({[*SWEEP, f"paths.results={tmp_path}"]})
for job in jobs:
    whole(job)
summary.plan_text(complete(jobs))
sys.exit(provenance.sources.cache_info().misses != 1)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("planned", [True, False])
def test_status_tells_them_apart(
    tmp_path: Path, sweep: list[Job], planned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SWEEP, f"paths.results={tmp_path}"] if planned else ["--runs", str(tmp_path)]
    assert status.main(arguments) == 0
    shown = capsys.readouterr().out
    cell = sweep[0].folder.parent.name
    assert f"{cell}: 1 of 4 ran with other code " in shown
    assert f"{NETWORK} changed" in shown
    assert f"its trials ran on 2 sets of data: {'d' * 12}, {'e' * 12}" in shown
    assert "not compared: whether complete trials ran on the data" in shown


def test_status_of_a_cell_of_one_code_says_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for job in prepare([*SWEEP, f"paths.results={tmp_path}"]):
        whole(job)
    assert status.main([*SWEEP, f"paths.results={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "other code" not in shown
    assert "sets of data" not in shown


def test_missing_weights_are_told_only_to_whom_asks_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained(tmp_path, lambda record: None, "checkpoint.keep=false")
    assert not (folder / "weights.pt").exists()
    for silent in ((), ("on_change=restart",), ("checkpoint.keep=false",)):
        assert called(tmp_path, *silent) == 0
        assert "weights.pt" not in capsys.readouterr().out
    for plan in ((), ("plan=true",)):
        assert called(tmp_path, "checkpoint.keep=true", *plan) == 0
        told = "1 complete trial has no weights.pt: on_change=restart makes them, and so does"
        assert told in capsys.readouterr().out
    assert old(folder)
    asked = ("checkpoint.keep=true", "on_change=restart")
    assert called(tmp_path, *asked) == 0
    assert "1 complete trial has no weights.pt: it runs again" in capsys.readouterr().out
    assert (folder / "weights.pt").exists()
    edited(folder, lambda record: None)
    assert called(tmp_path, *asked) == 0
    assert old(folder), "once"


@pytest.mark.parametrize(("last_good", "lacking"), [(0, False), (1, True)])
def test_a_trial_that_diverged_at_once_never_had_weights(
    tmp_path: Path, last_good: int, lacking: bool
) -> None:
    (job,) = prepare([*COMMON, SHORT, f"paths.results={tmp_path}", "checkpoint.keep=true"])
    final = whole(job, "diverged", epochs=2) / "final.json"
    content = json.loads(final.read_text())
    content["diverged"] |= {"last_good_epoch": last_good}
    final.write_text(json.dumps(content))
    assert bool(complete([job]).lacking) == lacking
