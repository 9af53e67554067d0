"""How long the report takes over many trials.

    python scripts/bench.py report --trials 2000

makes up a sweep in a temporary folder and builds its page twice: once so that the disk has been
read, once timed. Prints the seconds of processor time and the memory at its peak.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from scripts.benchmarks import measure  # noqa: E402

TARGET = 10.0  # seconds, for 2,000 trials


def sweep(runs: Path, trials: int, epochs: int) -> None:
    """Make up a sweep: two data sets, four metrics, an equal number of trials each."""
    from tests import fake_runs

    metrics: list[dict[str, Any]] = [fake_runs.H0, fake_runs.H0_LAMBDA, fake_runs.SOBOLEV]
    metrics.append(fake_runs.SOBOLEV | {"weight": 2.0})
    for name in ("mnist", "fashion-mnist"):
        for seed, metric in enumerate(metrics):
            scores = fake_runs.scores(90 + seed, 0.5, trials // 8, seed)
            fake_runs.cell(runs, metric, scores, name=name, task="mnist-swap", epochs=epochs)


def main(arguments: list[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description="the report over many trials")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    from chandir import report
    from chandir.report.read import runs as folders

    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary) / "runs"
        sweep(runs, options.trials, options.epochs)
        folders.read(runs)
        start = time.process_time(), time.monotonic()
        folders.read(runs)
        read = time.process_time() - start[0]
        start = time.process_time(), time.monotonic()
        report.build(runs, Path(temporary) / "page")
        seconds, wall = time.process_time() - start[0], time.monotonic() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"report over {options.trials} trials of {options.epochs} epochs: {seconds:.1f} s of "
        f"processor time ({wall:.1f} s by the clock), {read:.1f} s of it reading; {peak:.0f} MB; "
        f"target {TARGET:g} s for 2,000"
    )
    if options.json:
        record = {
            "benchmark": "report",
            "environment": measure.environment(torch.device("cpu")),
            "trials": options.trials,
            "epochs": options.epochs,
            "seconds": seconds,
            "reading": read,
            "megabytes": peak,
        }
        measure.write(options.json, record)
    return 0
