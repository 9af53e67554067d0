"""The benchmarks: what they compare is the same mathematics, and they run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from chandir import H0Lambda, Sobolev
from models.resnet56 import ResNet56
from scripts import bench
from scripts.benchmarks import measure, metric, pack, plan, start, step, targets
from tests import oracles

ROOT = Path(metric.__file__).parents[2]


@pytest.mark.parametrize("lam", oracles.LAMBDAS)
def test_papers_formulation_is_the_papers(lam: float) -> None:
    f = oracles.white(16, 3, 2, 2)
    expected = f + oracles.smooth_riemann(f, lam)
    torch.testing.assert_close(metric.paper_sobolev(f, lam), expected, rtol=0, atol=1e-12)
    mean = f.mean(0, keepdim=True) / (12 * lam * 16**2)
    ours = Sobolev(lam).gradient(f) + mean
    torch.testing.assert_close(metric.paper_sobolev(f, lam), ours, rtol=0, atol=1e-12)
    torch.testing.assert_close(metric.paper_h0_lambda(f, lam), H0Lambda(lam).gradient(f))


def test_metric_benchmark_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_num_threads()
    path = tmp_path / "metric.json"
    arguments = ["--models", "resnet56", "--device", "cpu", "--batch", "2", "--rounds", "1"]
    assert metric.main([*arguments, "--threads", "1", "--json", str(path)]) == 0
    torch.set_num_threads(before)
    record = json.loads(path.read_text())
    assert record["environment"]["torch"] == torch.__version__
    found = record["models"]["resnet56"]
    assert {"step", "sobolev, output", "paper: sobolev, Eqs. (10)-(12)"} <= set(found["seconds"])
    assert all(taken > 0 for taken in found["seconds"].values())
    assert found["counted_bytes"] == 2 * 4 * sum(
        p.numel() for p in ResNet56().parameters() if p.dim() == 4
    )
    assert record["environment"]["sources"] == measure.sources()
    assert record["environment"]["commit"] == measure.commit()["commit"]
    assert "% of a step" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["metrics"]])
def test_dispatcher_names_what_there_is(arguments: list[str]) -> None:
    command = [sys.executable, str(ROOT / "scripts/bench.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "metric" in done.stderr


def test_clocks_ratios_and_medians() -> None:
    taken = iter(range(100))
    seconds = measure.alternate(
        {"a": lambda: next(taken), "b": lambda: next(taken)}, 3, torch.device("cpu"), clock="cpu"
    )
    assert next(taken) == 8  # a round to warm up, and three
    assert [len(times) for times in seconds.values()] == [3, 3]
    times = {"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 2.0]}
    assert measure.medians(times, each=2) == {"a": 1.0, "b": 1.0}
    assert measure.ratios(times, "b")["a"]["median"] == 1.0
    assert measure.ratios(times, "b")["b"] == {"median": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.slow
def test_step_benchmark_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "step.json"
    sizes = ["--batch", "2", "--steps", "1", "--rounds", "1", "--test-images", "2"]
    assert step.main([*sizes, "--device", "cpu", "--json", str(path), "optimizer=adam"]) == 0
    record = json.loads(path.read_text())
    assert set(record["seconds_per_step"]) >= {"bare", "harness", "DataLoader, 0 workers"}
    assert record["workload"]["optimizer"] == "adam"
    assert record["workload"]["batch_size"] == 2
    counted = record["limit"]["counted"]
    assert counted["optimizer"] == 7 * 4 * sum(p.numel() for p in ResNet56().parameters())
    assert record["limit"]["least_seconds"] > 0
    assert "at least" in capsys.readouterr().out


def test_pack_tells_trials_and_steps_per_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: 4 trials of 2 steps, then of 6; 1 one after the other, 2 side by side."""
    short = {pack.PACKED: [8.0], pack.ONE: [4.0], pack.SEPARATE: [5.0]}
    long = {pack.PACKED: [12.0], pack.ONE: [14.0], pack.SEPARATE: [4.0]}
    taken = iter([short, long])
    monkeypatch.setattr(pack, "timed", lambda overrides, options: next(taken))
    path = tmp_path / "pack.json"
    sweep = ["task.train_size=16", "task.epochs=1", "trial=range(4)"]
    options = ["--device", "cpu", "--few", "1", "--processes", "2", "--json", str(path)]
    assert pack.main([*sweep, *options, "--longer", "task.epochs=3"]) == 0
    record = json.loads(path.read_text())
    assert (record["trials"], record["steps"]) == (4, 8)
    assert record["trials_of_row"] == {pack.PACKED: 4, pack.ONE: 1, pack.SEPARATE: 2}
    assert record["seconds_per_trial"] == {pack.PACKED: 2.0, pack.ONE: 4.0, pack.SEPARATE: 2.5}
    assert record["ratio_to_packed"][pack.ONE]["median"] == 2.0
    assert record["seconds_per_step"] == {pack.PACKED: 4 / 16, pack.ONE: 10 / 4}
    assert record["too_noisy"] == [pack.SEPARATE]
    assert "took no longer: not measured" in capsys.readouterr().out


@pytest.mark.slow
def test_packs_rows_run_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    run = pack._run

    def counted(overrides: list[str], multirun: bool = False) -> None:
        ran.append(overrides)
        run(overrides, multirun)

    monkeypatch.setattr(pack, "_run", counted)
    tiny = ["task.train_size=8", "task.test_size=8", "task.epochs=1", "threads=1", "trial=0,1,2"]
    options = pack._options([*tiny, "--device", "cpu", "--few", "2", "--processes", "1"])
    actions = pack.rows(tiny, options)
    actions[pack.SEPARATE]()
    assert [line.count("trial=0") + 2 * line.count("trial=1") for line in ran] == [1, 2]
    ran.clear()
    actions[pack.ONE]()
    (line,) = ran
    assert {"trial=0,1", "hydra/launcher=basic"} <= set(line)
    ran.clear()
    actions[pack.PACKED]()
    (line,) = ran
    assert {"trial=0,1,2", "hydra/launcher=local"} <= set(line)


def test_pack_refuses_a_longer_sweep_that_is_not() -> None:
    options = pack._options(["task=digits", "--longer", "task.epochs=1"])
    seconds = {pack.PACKED: [1.0]}
    with pytest.raises(SystemExit, match=r"expected a sweep of more steps"):
        pack._marginal(["task=digits"], seconds, options)


def test_pack_tells_a_sweep_that_failed() -> None:
    with pytest.raises(SystemExit, match=r"(?s)exit 2.*metrics"):
        pack.sweep(["metrics=h0"])


def test_a_plans_record_says_where_it_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "measured", lambda sweep: (1.0, 100.0))
    assert plan.main(["--trials", "100", "--json", str(tmp_path / "plan.json")]) == 0
    record = targets.read(tmp_path)["plan.json"]
    assert record["benchmark"] == "plan"
    assert record["environment"]["commit"] == measure.commit()["commit"]
    assert record["found"]["one cell"] == [1.0, 100.0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"benchmark": "pl', "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"benchmark": "plan", "found": {}}', "does not say where it was measured"),
    ],
)
def test_a_record_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, why: str
) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    assert targets.main([str(tmp_path)]) == 1
    assert f"targets: {tmp_path / 'plan.json'} {why}" in capsys.readouterr().err


def test_bench_lists_every_benchmark_that_it_runs() -> None:
    assert bench.__doc__ is not None
    assert all(name in bench.__doc__ for name in bench.BENCHMARKS)


def test_every_process_of_start_has_its_limit() -> None:
    options = argparse.Namespace(device="cpu", overrides=[])
    assert set(start.rows(options)) == set(start.LIMITS)
    start.process(start.rows(options)[start.TRIAL])()
