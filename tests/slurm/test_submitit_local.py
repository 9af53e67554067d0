"""SLURM's machinery without SLURM: ``hydra/launcher=submitit_local``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.faults import COMMON, breaking, job
from tests.harness.runs import call, trials


@pytest.mark.slow
def test_a_sweep_from_another_folder_with_a_failing_trial(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    results = tmp_path / "runs"
    failing = job(results, "task.epochs=2", "trial=0").folder
    done = call(
        *("-m", *COMMON, "task.epochs=2", "trial=range(2)", "hydra/launcher=submitit_local"),
        f"paths.results={results}",
        cwd=tmp_path,
        env=breaking(tmp_path_factory.mktemp("fault") / "site"),
    )
    assert done.returncode == 1
    assert "UserWarning" not in done.stderr
    assert "OSError: injected" in done.stdout
    assert "Traceback" in (failing / "error.txt").read_text()
    assert len(trials(results)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.slow
def test_on_error_stop_asks_the_others_to_save_and_leave(tmp_path: Path) -> None:
    endless = "task.epochs=100000"
    failing, other = (job(tmp_path, endless, f"trial={trial}").folder for trial in (1, 0))
    (failing / "log.jsonl").mkdir(parents=True)  # the second one, while the first one runs
    done = call(
        *("-m", *COMMON, endless, "trial=range(2)", "hydra/launcher=submitit_local"),
        *("on_error=stop", f"paths.results={tmp_path}"),
    )
    assert done.returncode == 1
    assert "the others are cancelled" in done.stderr
    assert not (other / "claim.json").exists()
