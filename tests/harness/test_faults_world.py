"""Faults 13, 14, 19 and 22: what changed meanwhile, numbers, clocks, names, bare environments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chandir.harness.base.errors import UserError
from chandir.harness.durable import provenance
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import checkpoint
from chandir.harness.trial.trial import run
from tests.harness.faults import (
    ALWAYS,
    COMMON,
    LONG,
    SHORT,
    epochs,
    finished,
    interrupted,
    job,
    ran,
    start,
    wait_for,
)
from tests.harness.runs import ROOT, SMALL, call, command, numbers, trials


@pytest.mark.parametrize(("choice", "segments"), [("restart", 1), ("continue", 2)])
@pytest.mark.parametrize(
    ("before", "told"),
    [
        ({"data": "0" * 64}, "the data changed"),
        ({"sources": {"models/convnet.py": "other"}}, "models/convnet.py changed"),
    ],
)
def test_what_changed_since_the_checkpoint_is_refused_and_shown(
    tmp_path: Path,
    undisturbed: dict[str, Any],
    before: dict[str, Any],
    told: str,
    choice: str,
    segments: int,
) -> None:
    """Fault 13. A changed configuration is another cell, with a folder of its own."""
    folder = interrupted(tmp_path)
    state, _ = checkpoint.load(folder)
    assert state is not None
    checkpoint.save(folder, state | before)
    with pytest.raises(UserError, match=f"{told}.*on_change=restart"):
        finished(tmp_path, SHORT, ALWAYS)
    assert finished(tmp_path, SHORT, ALWAYS, f"on_change={choice}") == undisturbed
    record = json.loads((folder / "provenance.json").read_text())
    assert len(record["segments"]) == segments


@pytest.mark.slow
def test_an_edit_of_the_code_is_refused_and_one_of_the_readme_is_not(tmp_path: Path) -> None:
    """Fault 13, with real edits: a trial is killed, a copy of the project edited, called again."""
    project, results = tmp_path / "project", tmp_path / "runs"
    kept = (".git", ".venv", "data", "results", "tests", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(*kept))

    def again(epochs: str = LONG, *overrides: str) -> subprocess.CompletedProcess[str]:
        every = (*COMMON, epochs, ALWAYS, f"paths.results={results}", *overrides)
        command = [sys.executable, str(project / "run.py"), *every]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    with start(results, LONG, ALWAYS) as process:  # of the project itself: the sources are the same
        wait_for(lambda: sum(epochs(results)) > 3, process)
        process.kill()
    network = project / "models" / "convnet.py"
    network.write_text(network.read_text() + "\n# edited\n")
    refused = again()
    assert refused.returncode == 1
    assert "models/convnet.py changed" in refused.stderr
    assert "on_change=restart" in refused.stderr
    assert not trials(results)
    shutil.copy(ROOT / "models" / "convnet.py", network)
    (project / "README.md").write_text("edited")
    done = again()
    assert done.returncode == 0, done.stderr
    assert finished(results, LONG) == finished(tmp_path / "whole", LONG)


def test_a_diverging_trial_leaves_the_others_alone(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Fault 14: the same process goes on with the next one."""
    assert ran(job(tmp_path, SHORT, "optimizer.lr=1e20"))
    assert ran(job(tmp_path, SHORT))
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
    run(planned.resolved, planned.folder)
    assert numbers(planned.folder) == undisturbed


def test_a_git_that_hangs_costs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    """Fault 22: a repository on a file server that does not answer."""

    def hangs(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    provenance.commit.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", hangs)
        assert finished(tmp_path, SHORT) == undisturbed
    provenance.commit.cache_clear()
    record = json.loads((job(tmp_path, SHORT).folder / "provenance.json").read_text())
    assert record["commit"] is None


@pytest.mark.slow
def test_a_read_only_home(read_only: Path, tmp_path: Path) -> None:
    """Fault 22: one that root cannot write to either; the page's figures have a cache there."""
    where = (f"paths.results={tmp_path / 'runs'}", f"paths.page={tmp_path / 'page'}")
    done = subprocess.run(
        command("-m", *SMALL, "metric=h0", "trial=range(2)", *where),
        env=os.environ | {"HOME": str(read_only), "XDG_CACHE_HOME": str(read_only / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page" / "index.html").exists(), done.stderr
    assert list((tmp_path / "page" / "figures").glob("*.svg"))


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
    assert "+-" in done.stdout  # mean ± deviation, as ASCII says it
    first, _ = trials(tmp_path / "runs")
    assert json.loads((first / "provenance.json").read_text())["commit"] is None
    assert numbers(first) == finished(tmp_path / "here", SMALL[2])
