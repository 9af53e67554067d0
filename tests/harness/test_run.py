"""run.py as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import run
from chandir.harness.sweep import sweep
from tests.harness.runs import ROOT, SMALL, call, numbers, trials


def test_help_lists_the_choices_without_torch() -> None:
    done = call("--help")
    assert done.returncode == 0
    assert "metric: LS, h0, h0_lambda, h0_mean, h0_norm, sobolev" in done.stdout
    probe = "import sys, run; sys.exit('torch' in sys.modules)"
    assert call_python(probe) == 0


def call_python(code: str) -> int:
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode


def test_a_refusal_says_why_and_runs_nothing(tmp_path: Path) -> None:
    done = call("metric.lambda=2", f"paths.results={tmp_path / 'runs'}")
    assert done.returncode == 2
    assert "did you mean 'metric.lam'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_before_anything_runs_ends_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def planning(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "prepare", planning)
    assert run.main(["experiment=fig6", "plan=true"]) == 130
    assert capsys.readouterr().err == "interrupted: the same command starts again\n"


def test_plan_runs_nothing(tmp_path: Path) -> None:
    done = call("experiment=fig6", "plan=true", f"paths.results={tmp_path / 'runs'}")
    assert done.returncode == 0
    assert "130 trials of 26 cells, 1,300,000 steps" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_a_sweep_is_skipped_when_complete_and_packed_gives_the_same_bits(tmp_path: Path) -> None:
    sweep = ("-m", *SMALL, "metric=h0,sobolev", "trial=range(2)")
    packed = call(*sweep, f"paths.results={tmp_path / 'packed'}", "hydra.launcher.workers=2")
    assert packed.returncode == 0, packed.stderr
    assert "4 trials, 2 at a time" in packed.stdout
    assert "minus h0" in packed.stdout
    again = call(*sweep, f"paths.results={tmp_path / 'packed'}")
    assert again.returncode == 0
    assert "at a time" not in again.stdout
    alone = call(*sweep, f"paths.results={tmp_path / 'alone'}", "hydra/launcher=basic")
    assert alone.returncode == 0, alone.stderr
    one, other = trials(tmp_path / "packed"), trials(tmp_path / "alone")
    assert len(one) == 4
    assert [path.relative_to(tmp_path / "packed") for path in one] == [
        path.relative_to(tmp_path / "alone") for path in other
    ]
    assert [numbers(path) for path in one] == [numbers(path) for path in other]


def test_missing_data_is_an_error_within_seconds_that_says_what_to_put_where(
    tmp_path: Path,
) -> None:
    done = call(
        "task=mnist-swap",
        f"data.root={tmp_path}",
        f"paths.results={tmp_path / 'runs'}",
        env={"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    )
    assert done.returncode == 2
    assert "t10k-images-idx3-ubyte" in done.stderr
    assert str(tmp_path) in done.stderr
    assert "data.source=synthetic" in done.stderr


@pytest.mark.parametrize("on_error", [pytest.param("continue", marks=pytest.mark.slow), "stop"])
def test_a_failing_trial_is_visible(tmp_path: Path, on_error: str) -> None:
    # A folder where the log should be, no trial survives.
    sweep = ("-m", *SMALL, "metric=h0", "trial=range(3)", f"on_error={on_error}")
    where = f"paths.results={tmp_path}"
    plan = call(*sweep, where, "plan=true").stdout
    name = next(line for line in plan.splitlines() if "-h0-" in line).strip()
    (tmp_path / "digits" / name / "trial-0" / "log.jsonl").mkdir(parents=True)
    done = call(*sweep, where, "hydra/launcher=basic")
    assert done.returncode == 1
    assert done.stderr.count("failed: h0, trial 0: ") == 1
    assert "failed: " in done.stdout
    told = "log.jsonl is a folder: expected a file there; remove it"
    assert f"{told} (traceback: error.txt)" in done.stdout
    assert told in (tmp_path / "digits" / name / "trial-0" / "error.txt").read_text()
    assert len(trials(tmp_path)) == (2 if on_error == "continue" else 0)


@pytest.mark.slow
def test_every_experiment_runs_at_smoke_scale(tmp_path: Path) -> None:
    done = call(
        "experiment=demo", "scale=smoke", "task.epochs=1", *SMALL[:2], f"paths.results={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    assert len(trials(tmp_path)) == 6
    final = json.loads((trials(tmp_path)[0] / "final.json").read_text())
    assert final["status"] == "done"
