"""Faults 13, 14, 19 and 22: what changed meanwhile, numbers, clocks, names, bare environments."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from chandir.harness import checkpoint, sweep
from chandir.harness.errors import UserError
from chandir.harness.plan import jobs
from chandir.harness.trial import run
from tests.harness.faults import ALWAYS, COMMON, SHORT, compose, finished, interrupted, job
from tests.harness.runs import SMALL, call, numbers, trials


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ({"data": "0" * 64}, "the data changed"),
        ({"sources": {"models/convnet.py": "other"}}, "models/convnet.py changed"),
    ],
)
def test_what_changed_since_the_checkpoint_is_refused_and_shown(
    tmp_path: Path, undisturbed: dict[str, Any], before: dict[str, Any], told: str
) -> None:
    """Fault 13. A changed configuration is another cell, with a folder of its own."""
    folder = interrupted(tmp_path)
    state, _ = checkpoint.load(folder)
    assert state is not None
    checkpoint.save(folder, state | before)
    with pytest.raises(UserError, match=f"{told}.*on_change=restart"):
        finished(tmp_path, SHORT, ALWAYS)
    assert finished(tmp_path, SHORT, ALWAYS, "on_change=restart") == undisturbed


def test_a_diverging_trial_leaves_the_others_alone(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Fault 14: the same process goes on with the next one."""
    assert sweep.job(compose(tmp_path, SHORT, "optimizer.lr=1e20"), bar=False)
    assert sweep.job(compose(tmp_path, SHORT), bar=False)
    ends = [json.loads((folder / "final.json").read_text()) for folder in trials(tmp_path)]
    assert sorted(end["status"] for end in ends) == ["diverged", "done"]
    (diverged,) = [end["diverged"] for end in ends if end["diverged"]]
    assert diverged["last_good_epoch"] == diverged["epoch"] - 1
    assert diverged["step"] >= 0
    assert finished(tmp_path, SHORT) == undisturbed


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    """Fault 19: back and forth by years, at every look."""
    years = 3e8
    jumps = [time.time() + years, 0.0]

    def jumping() -> float:
        jumps.reverse()
        return jumps[0]

    monkeypatch.setattr(time, "time", jumping)
    assert finished(tmp_path, SHORT, ALWAYS) == undisturbed
    final = json.loads((job(tmp_path, SHORT).folder / "final.json").read_text())
    assert 0 < final["totals"]["seconds"] < years


def test_long_and_odd_folder_names(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """Fault 19."""
    odd = tmp_path / "ein Pfad, mit = ünï[0] {braces} $HOME" / ("long" * 50)
    (planned,) = jobs((*COMMON, SHORT, f"paths.results='{odd}'"))
    assert odd in planned.folder.parents
    run(planned.resolved, planned.folder, bar=False)
    assert numbers(planned.folder) == undisturbed


def test_a_bare_environment(tmp_path: Path) -> None:
    """Fault 22: no terminal, no git, an ASCII locale, a home that is not there."""
    (tmp_path / "bin").mkdir()
    bare = {
        "PATH": str(tmp_path / "bin"),
        "HOME": str(tmp_path / "nowhere"),
        "LANG": "C",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    done = call(
        *("-m", *SMALL, "metric=h0", "trial=range(2)", "hydra/launcher=basic"),
        f"paths.results={tmp_path / 'runs'}",
        env=bare,
    )
    assert done.returncode == 0, done.stderr
    assert "?" in done.stdout  # mean ± deviation, as well as ASCII can
    first, _ = trials(tmp_path / "runs")
    assert json.loads((first / "provenance.json").read_text())["commit"] is None
    assert numbers(first) == finished(tmp_path / "here", SMALL[2])
