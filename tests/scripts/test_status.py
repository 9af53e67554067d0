"""scripts/status.py: what run folders tell of a sweep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chandir.harness.durable.claim import claim
from scripts import status
from tests.harness.faults import COMMON
from tests.harness.runs import ROOT, begun, whole

SWEEP = (*COMMON, "-m", "task.epochs=4", "trial=range(5)")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Five trials of one cell: done, diverged, failed, begun and not begun."""
    done, diverged, failed, running, _ = _jobs(tmp_path)
    whole(done)
    whole(diverged, "diverged", epochs=2)
    begun(failed, 1)
    (failed.folder / "error.txt").write_text("it failed")
    begun(running, 2)
    return tmp_path


def _jobs(results: Path) -> list:
    from chandir.harness.sweep.sweep import prepare

    return prepare([*SWEEP, f"paths.results={results}"])


def row(text: str) -> list[str]:
    return text.splitlines()[1].split()[1:]


def test_states_and_time_left_against_the_plan(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cell,) = runs.glob("*/*")
    with claim(cell / "trial-3"):
        assert status.main([*SWEEP, f"paths.results={runs}"]) == 0
    shown = capsys.readouterr().out
    # planned, done, diverged, running, failed, damaged; a diverged trial is as long as it was
    assert row(shown)[:7] == ["5", "2", "1", "1", "1", "0", "9/18"]
    assert "9 min" in shown
    assert "1 running; about 9 min left" in shown


def test_without_a_plan_the_folders_are_what_there_is(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.main(["--runs", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert row(shown)[:7] == ["4", "2", "1", "0", "1", "0", "9/14"]
    told = "nothing runs; about 5 min of work left; 2 trials have no result: the same command runs"
    assert told in shown


def test_a_trial_that_failed_before_its_first_step_is_shown(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cell,) = runs.glob("*/*")
    (cell / "trial-4").mkdir()
    (cell / "trial-4" / "error.txt").write_text("no data")
    assert status.main(["--runs", str(runs)]) == 0
    assert row(capsys.readouterr().out)[:7] == ["5", "2", "1", "0", "2", "0", "9/14"]


def test_a_result_that_was_cut_is_not_all_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, *_ = _jobs(tmp_path)
    final = whole(job) / "final.json"
    final.write_bytes(final.read_bytes()[:-20])
    assert status.main(["--runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert row(shown)[:7] == ["1", "0", "0", "0", "0", "1", "0/4"]
    assert "all done" not in shown
    assert f"damaged: {job.folder}: final.json is not JSON" in shown


def test_a_trial_that_was_killed_after_its_last_epoch_is_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, last, *_ = _jobs(tmp_path)
    whole(first)
    begun(last, 4)
    assert status.main(["--runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert row(shown)[:7] == ["2", "1", "0", "0", "0", "0", "8/8"]
    assert "nothing runs; 1 trial has no result: the same command runs it, of what" in shown


@pytest.mark.parametrize("others", [True, False])
def test_a_trial_that_was_killed_before_it_said_how_long_it_is_is_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], others: bool
) -> None:
    first, loading, *_ = _jobs(tmp_path)
    if others:
        whole(first)
    with claim(_made(loading.folder)):
        assert status.main(["--runs", str(tmp_path)]) == 0
        assert "1 running" in capsys.readouterr().out
    (loading.folder / "claim.json").write_text("{}")
    assert status.main(["--runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "nothing runs; 1 trial has no result: the same command runs it" in shown


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_all_is_done_when_every_trial_has_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for job in _jobs(tmp_path):
        whole(job)
    assert status.main([*SWEEP, f"paths.results={tmp_path}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all done"


@pytest.mark.parametrize("pause", ["-1", "0", "nan", "inf", "1e9", "soon"])
def test_a_pause_that_is_none_is_refused(pause: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        status.main([f"--watch={pause}"])
    assert left.value.code == 2
    assert f"--watch: {pause}: expected seconds above 0, at most 86400" in capsys.readouterr().err


def test_a_pipe_sees_each_look_at_once(runs: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "status.py"), "--runs", str(runs)]
    with subprocess.Popen([*script, "--watch", "60"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"cell ")
        process.kill()


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.main(["--runs", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: there is no such folder; expected a results" in capsys.readouterr().err


def test_a_cells_folder_that_was_moved_and_linked_back_is_seen(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cell,) = runs.glob("*/*")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    cell.parent.rename(elsewhere)
    cell.parent.symlink_to(elsewhere)  # the task's folder
    assert status.main(["--runs", str(runs)]) == 0
    assert row(capsys.readouterr().out)[:7] == ["4", "2", "1", "0", "1", "0", "9/14"]


def test_an_empty_folder_and_a_misspelt_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.main(["--runs", str(tmp_path)]) == 0
    assert "no trial" in capsys.readouterr().out
    assert status.main(["metric=sobolef"]) == 2
    assert "did you mean 'sobolev'" in capsys.readouterr().err


def test_the_table_is_as_wide_as_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chandir.harness.sweep.sweep import prepare

    for job in prepare(["-m", "metric=h0,sobolev", f"paths.results={tmp_path}"]):
        whole(job)
    monkeypatch.setenv("COLUMNS", "80")
    assert status.main(["--runs", str(tmp_path)]) == 0
    shared, header, *rows = capsys.readouterr().out.splitlines()[:4]
    assert shared.startswith("cells: convnet-sgd-b8-*")
    assert [row.split()[0] for row in rows] == ["h0", "sobolev-output-conv"]
    assert max(map(len, (header, *rows))) <= 80
    assert header.split()[:3] == ["cell", "planned", "done"]


def test_names_are_what_the_cells_do_not_share() -> None:
    key = "0123456789"
    assert status.short([f"a-b-h0-x-{key}", f"a-b-sobolev-out-x-{key}"]) == (
        "a-b-*-x", ["h0", "sobolev-out"],
    )  # fmt: skip
    assert status.short([f"a-b-{key}"]) == ("", ["a-b"])
    assert status.short([f"a-b-{key}", f"a-b-x-{key}"])[1] == ["b", "b-x"]
    twice = [f"a-b-{key}", "a-b-9876543210"]
    assert status.short(twice) == ("", twice)


def test_it_needs_no_torch() -> None:
    code = "import sys, scripts.status; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
