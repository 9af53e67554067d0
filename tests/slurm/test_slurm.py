"""Sweeps on a real SLURM: arrays, requeues, preemptions, kills. `make test-slurm` installs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.faults import COMMON, SIX, breaking, finished, job, saved
from tests.harness.runs import command, numbers, page, trials
from tests.slurm.cluster import Cluster, missing, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

EPOCHS = "task.epochs=600"
NEVER = "checkpoint.seconds=1000000"  # what is saved, a signal saved


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if missing():
        pytest.skip(missing())
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def launch(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    started: list[Sweep] = []

    def start(*overrides: str) -> Sweep:
        started.append(Sweep(cluster, tmp_path, *overrides))
        return started[-1]

    yield start
    for sweep in started:
        sweep.process.kill()
        sweep.process.wait()


class Sweep:
    """run.py on the cluster, from a folder that is not the project's."""

    def __init__(self, cluster: Cluster, folder: Path, *overrides: str) -> None:
        self.cluster, self.results = cluster, folder / "runs"
        self.before = set(cluster.jobs())
        arguments = command(
            *("-m", *overrides, f"paths.results={self.results}"),
            *("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"),
        )
        self.process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=cluster.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def jobs(self) -> list[str]:
        new = [name for name in self.cluster.jobs() if name not in self.before]
        return sorted(new, key=lambda name: int(name.partition("_")[2] or 0))

    def epochs(self, trial: int) -> int:
        logs = self.results.glob(f"*/*/trial-{trial}/log.jsonl")
        return sum(log.read_text().count("\n") for log in logs)

    def wait_for_epochs(self, *trials: int, more: int = 3) -> None:
        before = {trial: self.epochs(trial) for trial in trials}
        for trial in trials:
            wait_for(lambda k=trial: self.epochs(k) > before[k] + more, f"trial {trial}")

    def end(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=300)
        return self.process.returncode, output


def test_an_array_with_a_requeue_and_a_preemption_gives_the_undisturbed_numbers(
    cluster: Cluster, launch: Callable[..., Sweep], tmp_path: Path
) -> None:
    low = ("hydra.launcher.partition=low", "trial=range(2)", EPOCHS, NEVER)
    sweep = launch(*COMMON, *low)
    sweep.wait_for_epochs(0, 1)
    first, second = sweep.jobs()

    # A job that may take cores away: USR2, on which trials save and requeue themselves.
    cluster.call("sbatch", "-p", "high", "-n", "2", "-o", "/dev/null", "--wrap", "sleep 1")
    for name in (first, second):
        cluster.wait_for_restart(name, 1)
    for trial in ("trial=0", "trial=1"):
        assert saved(job(sweep.results, EPOCHS, trial).folder) > 0
    sweep.wait_for_epochs(0)

    # From outside: TERM, then KILL.
    before = saved(job(sweep.results, EPOCHS, "trial=0").folder)
    cluster.call("scontrol", "requeue", first)
    cluster.wait_for_restart(first, 2)
    assert saved(job(sweep.results, EPOCHS, "trial=0").folder) > before
    status, output = sweep.end()
    assert status == 0, output
    assert cluster.restarts(first) == 2
    assert cluster.restarts(second) == 1
    for trial in ("trial=0", "trial=1"):
        undisturbed = finished(tmp_path / "whole", EPOCHS, trial)
        assert finished(sweep.results, EPOCHS, trial) == undisturbed


@pytest.mark.timeout(2400)  # six jobs, two at a time; then again without SLURM
def test_a_sweep_with_a_requeue_and_a_preemption_reports_the_same(
    cluster: Cluster, launch: Callable[..., Sweep], tmp_path: Path
) -> None:
    epochs = "task.epochs=300"
    sweep = launch(*SIX, "hydra.launcher.partition=low", epochs, NEVER)
    sweep.wait_for_epochs(0, 1)
    jobs = sweep.jobs()
    assert len(jobs) == 6
    cluster.call("sbatch", "-p", "high", "-n", "2", "-o", "/dev/null", "--wrap", "sleep 1")
    for name in jobs[:2]:
        wait_for(lambda name=name: cluster.restarts(name) == 1, f"the preemption of {name}")
    sweep.wait_for_epochs(2)  # the next in the array runs, while those two are held
    cluster.call("scontrol", "requeue", jobs[2])
    wait_for(lambda: cluster.restarts(jobs[2]) == 1, "the requeue")
    while sweep.process.poll() is None:
        cluster.release(jobs)
    status, output = sweep.end()
    assert status == 0, output
    assert [cluster.restarts(name) for name in jobs[:3]] == [1, 1, 1]

    whole = tmp_path / "whole" / "runs"
    local = command("-m", *SIX, epochs, f"paths.results={whole}", "hydra.launcher.workers=2")
    subprocess.run(local, check=True, capture_output=True)
    names = [path.relative_to(whole) for path in trials(whole)]
    assert len(names) == 6
    assert [numbers(sweep.results / name) for name in names] == [
        numbers(whole / name) for name in names
    ]
    ours, theirs = page(sweep.results), page(whole)
    for each in (ours, theirs):
        each.pop("index.html")  # shows the command, which names the launcher
    assert ours == theirs


def test_on_error_stop_cancels_the_others_at_the_first_failure(
    cluster: Cluster, launch: Callable[..., Sweep], tmp_path: Path
) -> None:
    endless = "task.epochs=100000"
    failing = job(tmp_path / "runs", endless, "trial=1").folder  # not the first of the array
    (failing / "log.jsonl").mkdir(parents=True)
    sweep = launch(*COMMON, endless, "trial=range(3)", "on_error=stop")
    status, output = sweep.end()
    assert status == 1, output
    assert "the others are cancelled" in output
    wait_for(lambda: not {"RUNNING", "PENDING"} & {cluster.jobs()[j] for j in sweep.jobs()}, "end")


def test_a_killed_job_is_told_and_the_same_command_finishes_it(
    cluster: Cluster, launch: Callable[..., Sweep], tmp_path: Path
) -> None:
    often = (*COMMON, "trial=range(2)", EPOCHS, "checkpoint.seconds=0")
    sweep = launch(*often)
    sweep.wait_for_epochs(0, 1)
    killed, _ = sweep.jobs()
    (claim,) = sweep.results.glob("*/*/trial-0/claim.json")
    os.kill(json.loads(claim.read_text())["pid"], signal.SIGKILL)
    status, output = sweep.end()
    assert status == 1, output
    assert f"job {killed}: " in output
    assert cluster.jobs()[killed] == "FAILED"
    assert len(trials(sweep.results)) == 1  # the other one went on
    again = launch(*often)
    status, output = again.end()
    assert status == 0, output
    assert len(again.jobs()) == 1  # what is complete is not submitted
    assert finished(sweep.results, EPOCHS) == finished(tmp_path / "whole", EPOCHS)


def test_a_failing_trial_is_a_failed_job_with_its_traceback(
    cluster: Cluster,
    launch: Callable[..., Sweep],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = job(tmp_path / "runs", "task.epochs=2", "trial=0").folder
    for name, value in breaking(tmp_path / "fault").items():
        monkeypatch.setitem(cluster.env, name, value)
    sweep = launch(*COMMON, "trial=range(2)", "task.epochs=2")
    status, output = sweep.end()
    assert status == 1
    assert "OSError: injected" in output  # in the summary
    assert "Traceback" in (folder / "error.txt").read_text()
    failed, done = sweep.jobs()
    wait_for(lambda: cluster.jobs()[done] == "COMPLETED", "the other one")
    assert cluster.jobs()[failed] == "FAILED"
    (log,) = sweep.results.glob(f".submitit/{failed}/*_log.out")
    assert "Traceback" in log.read_text()
    assert len(trials(sweep.results)) == 1


def test_at_the_time_limit_a_trial_saves_and_requeues_itself(
    cluster: Cluster, launch: Callable[..., Sweep], tmp_path: Path
) -> None:
    # SLURM sends the signal up to a minute early.
    limits = ("hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=30")
    sweep = launch(*COMMON, "trial=0", "task.epochs=100000", NEVER, *limits)
    wait_for(lambda: sweep.jobs() and cluster.restarts(sweep.jobs()[0]) == 1, "a requeue", 200)
    assert saved(job(sweep.results, "task.epochs=100000").folder) > 0
    before = sweep.epochs(0)
    cluster.wait_for_restart(sweep.jobs()[0], 1)
    wait_for(lambda: sweep.epochs(0) > before, "the continuation")
    cluster.call("scancel", sweep.jobs()[0])
    assert sweep.end()[0] == 1
