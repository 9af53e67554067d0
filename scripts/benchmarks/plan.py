"""CPU time and memory of a plan of many trials: a cell is composed once, its trials are not.

    python scripts/bench.py plan

Held against: 3 s of CPU for 10,000 trials of one cell, start of the program included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 3.0  # seconds of CPU


def main(arguments: list[str]) -> int:
    """Print what plans of one cell and of a hundred take; return the exit status."""
    parser = argparse.ArgumentParser(description="CPU time and memory of a plan of many trials")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    found = {
        "one trial": measured(["trial=0"]),
        "one cell": measured([f"trial=range({options.trials})"]),
        "a hundred cells": measured(
            ["metric.lam=range(1,101)", f"trial=range({options.trials // 100})"]
        ),
    }
    print(f"{'plan of ' + format(options.trials, ',') + ' trials':28}{'CPU, s':>8}{'MiB':>8}")
    for name, (seconds, memory) in found.items():
        print(f"{name:28}{seconds:8.2f}{memory:8.0f}")
    print(f"limit: {LIMIT:g} s of CPU for one cell")
    if options.json:
        import torch  # for the record alone: a plan loads none

        from scripts.benchmarks import measure

        record = {
            "benchmark": "plan",
            "environment": measure.environment(torch.device("cpu")),
            "trials": options.trials,
            "found": found,
        }
        measure.write(options.json, record)
    return 0


def measured(sweep: list[str]) -> tuple[float, float]:
    """Seconds of CPU and MiB at the most, of one plan in a process of its own."""
    command = [sys.executable, "run.py", "-m", *sweep, "plan=true", "paths.page=null"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[1:])}: exit {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
