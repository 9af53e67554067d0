"""Time what a person waits for: the help, a plan, the first step of a trial.

    python scripts/bench.py start

Whole processes are timed, in turn. The first two import no torch; ``import torch`` is the bound of
the third.
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

ROWS = {
    "python -c pass": ["-c", "pass"],
    "run.py --help": ["run.py", "--help"],
    "run.py experiment=fig6 plan=true": ["run.py", "experiment=fig6", "plan=true"],
    "python -c 'import torch'": ["-c", "import torch"],
    "run.py, a trial of 5 steps": [
        "run.py",
        "task.epochs=1",
        "task.train_size=40",
        "task.test_size=8",
    ],
}


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.py start", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    actions = {name: process(command) for name, command in ROWS.items()}
    seconds = measure.alternate(actions, options.rounds, torch.device("cpu"))
    bound = seconds["python -c 'import torch'"]
    print(f"{'':36}{'s':>8}{'/ torch':>10}")
    for name, taken in seconds.items():
        print(f"{name:36}{taken:8.2f}{taken / bound:10.2f}")
    if options.json:
        record = {
            "environment": measure.environment(torch.device("cpu")),
            "seconds": seconds,
            "ratio_to_import_torch": {name: taken / bound for name, taken in seconds.items()},
        }
        measure.write(options.json, record)
    return 0


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
