"""The local launcher with one worker: trials run in the process that Hydra launched from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.faults import SHORT, finished
from tests.harness.runs import SMALL, call, numbers, trials


@pytest.mark.slow
def test_one_worker_runs_a_sweep_in_order_whatever_side_of_the_flag(tmp_path: Path) -> None:
    done = call(
        *(*SMALL[:2], SHORT, "metric=h0", "-m", "trial=range(2)", "hydra.launcher.workers=1"),
        f"paths.results={tmp_path / 'runs'}",
    )
    assert done.returncode == 0, done.stderr
    assert "2 trials, 1 at a time" in done.stdout
    first, second = trials(tmp_path / "runs")
    assert numbers(first) == finished(tmp_path / "alone", SHORT)
    assert numbers(second) == finished(tmp_path / "alone", SHORT, "trial=1")
