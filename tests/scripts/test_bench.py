"""The benchmarks: what they compare is the same mathematics, and they run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from chandir import H0Lambda, Sobolev
from scripts.benchmarks import metric
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
    seconds = record["models"]["resnet56"]
    assert {"step", "sobolev, output", "paper: sobolev, Eqs. (10)-(12)"} <= set(seconds)
    assert all(taken > 0 for taken in seconds.values())
    assert "% of a step" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["metrics"]])
def test_dispatcher_names_what_there_is(arguments: list[str]) -> None:
    command = [sys.executable, str(ROOT / "scripts/bench.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "metric" in done.stderr
