"""Time a sweep packed into processes against one trial after the other.

    python scripts/bench.py pack
    python scripts/bench.py pack experiment=demo --rounds 3

Whole processes are timed, from the command to its last line, start included. Rows take turns and
each starts from an empty folder. ``packed`` has one thread per trial and as many trials at a time
as there are cores; the others run one trial after the other, with one thread and with all cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from scripts.benchmarks import measure

ONE_BY_ONE = "hydra/launcher=basic"


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.py pack", description=__doc__.split("\n")[0])
    parser.add_argument("overrides", nargs="*", default=["experiment=demo"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    cores = len(os.sched_getaffinity(0))
    rows = {
        f"packed, {cores} at a time, 1 thread": ["hydra/launcher=local", "threads=1"],
        f"one by one, {cores} threads": [ONE_BY_ONE, f"threads={cores}"],
        "one by one, 1 thread": [ONE_BY_ONE, "threads=1"],
    }
    actions = {name: sweep([*options.overrides, *extra]) for name, extra in rows.items()}
    seconds = measure.alternate(actions, options.rounds, torch.device("cpu"), warm_up=False)
    packed = next(iter(seconds.values()))
    print(" ".join(options.overrides))
    print(f"{'':36}{'s':>8}{'/ packed':>10}")
    for name, taken in seconds.items():
        print(f"{name:36}{taken:8.1f}{taken / packed:10.2f}")
    if options.json:
        record = {
            "environment": measure.environment(torch.device("cpu")),
            "overrides": options.overrides,
            "rounds": options.rounds,
            "seconds": seconds,
            "ratio_to_packed": {name: taken / packed for name, taken in seconds.items()},
        }
        measure.write(options.json, record)
    return 0


def sweep(overrides: list[str]) -> Callable[[], object]:
    """run.py with these overrides, into a folder of its own."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            paths = [f"paths.results={folder}/runs", "paths.page=null"]
            subprocess.run(
                [sys.executable, "run.py", *overrides, *paths],
                cwd=measure.ROOT,
                check=True,
                capture_output=True,
            )

    return run
