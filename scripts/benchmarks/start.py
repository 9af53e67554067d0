"""Time what a person waits for: the help, a plan, the first step of a trial.

    python scripts/bench.py start
    python scripts/bench.py start --device cuda

Whole processes are timed, in turn, from the command to its end; a trial of one step stands for the
time to the first. What cannot be avoided is beside each: Python's own start for those that import
no torch, and ``import torch`` (on a GPU, and one kernel there) for the trial.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from scripts.benchmarks import measure

PYTHON, HELP, PLAN = "python -c pass", "run.py --help", "run.py experiment=fig6 plan=true"
TORCH, TRIAL = "import torch", "run.py, a trial of one step"
# What each row cannot be faster than: a row of the same run.
LIMITS = {PYTHON: PYTHON, HELP: PYTHON, PLAN: PYTHON, TORCH: PYTHON, TRIAL: TORCH}


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bench.py start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", help="of the trial's configuration")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=measure.CLOCKS, default="wall", help="see measure.py")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    actions = {name: process(command) for name, command in rows(options).items()}
    times = measure.alternate(actions, options.rounds, torch.device("cpu"), clock=options.clock)
    seconds = measure.medians(times)
    ratio = {
        name: measure.ratios({name: times[name], bound: times[bound]}, bound)[name]
        for name, bound in LIMITS.items()
    }
    print(f"{measure.heading(device)}; {options.clock} clock")
    print(f"{'':36}{'s':>8}{'x limit':>9}  quartiles")
    for name, taken in seconds.items():
        r = ratio[name]
        spread = f"{r['low']:.2f} to {r['high']:.2f}"
        print(f"{name:36}{taken:8.2f}{r['median']:9.2f}  {spread} of {LIMITS[name]}")
    if options.json:
        record = {
            "benchmark": "start",
            "environment": measure.environment(device),
            "rounds": options.rounds,
            "clock": options.clock,
            "overrides": options.overrides,
            "seconds": seconds,
            "limit": LIMITS,
            "ratio_to_limit": ratio,
        }
        measure.write(options.json, record)
    return 0


def rows(options: argparse.Namespace) -> dict[str, list[str]]:
    """The arguments to Python of each row."""
    kernel = "; torch.ones(1, device='cuda').sum().item()" if options.device == "cuda" else ""
    trial = ["task.epochs=1", "task.train_size=8", "task.test_size=8", f"device={options.device}"]
    return {
        PYTHON: ["-c", "pass"],
        HELP: ["run.py", "--help"],
        PLAN: ["run.py", "experiment=fig6", "plan=true"],
        TORCH: ["-c", "import torch" + kernel],
        TRIAL: ["run.py", *trial, *options.overrides],
    }


def process(command: list[str]) -> Callable[[], object]:
    """A whole Python process; trials go into a folder of their own."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            trial = command[0] == "run.py" and "--help" not in command
            paths = [f"paths.results={folder}/runs", "paths.page=null"] if trial else []
            subprocess.run(
                [sys.executable, *command, *paths],
                cwd=measure.ROOT,
                check=True,
                capture_output=True,
            )

    return run
