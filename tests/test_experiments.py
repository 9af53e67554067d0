"""Every experiment runs at smoke scale, a trial of each cell, and ends on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from chandir import report
from chandir.harness.sweep.plan import jobs
from tests.harness.runs import ROOT, call, trials

NAMES = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


def arguments(name: str) -> tuple[str, ...]:
    """Smoke scale; synthetic data for every task but the embedded one."""
    smoke = (f"experiment={name}", "scale=smoke", "trial=0")
    tasks = {job.resolved.config.task.name for job in jobs(smoke)}
    return smoke if tasks == {"digits"} else (*smoke, "data.source=synthetic")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, as artefacts share runs: what Table 2 ran, Figure 9 finds done.

    `make test-slow` gives a file's tests to one process (``--dist=loadfile``).
    """
    return tmp_path_factory.mktemp("experiments")


def run(name: str, folder: Path) -> str:
    """What the experiment prints; complete trials are skipped."""
    done = call(*arguments(name), *where(folder), timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def where(folder: Path) -> tuple[str, str]:
    return f"paths.results={folder / 'runs'}", f"data.root={folder / 'data'}"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_runs_at_smoke_scale(name: str, folder: Path) -> None:
    assert "label: scale smoke" in run(name, folder)
    planned = jobs((*arguments(name), *where(folder)))
    assert planned
    assert {job.trial for job in planned} == {0}
    assert {job.folder for job in planned} <= set(trials(folder / "runs"))


@pytest.mark.slow
def test_the_page_shows_them_labelled(folder: Path) -> None:
    for name in ("demo", "fig11", "variant-sobolev-lam"):
        run(name, folder)
    page = report.build(folder / "runs", folder / "page").read_text(encoding="utf-8")
    assert "scale smoke" in page
    for task in ("cifar10", "mnist-swap", "digits"):
        assert task in page
