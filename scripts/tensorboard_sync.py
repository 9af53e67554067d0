"""Mirror finished or running sweeps to TensorBoard, from their run folders, into these.

    python scripts/tensorboard_sync.py results/runs
    tensorboard --logdir results/runs

Doing it again changes nothing. Exit status: 0 if every trial is there, 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir.harness.base.output import outlast
from chandir.harness.config.schema import TensorBoard
from chandir.harness.tracking.sync import sync


def main(arguments: list[str] | None = None) -> int:
    """Mirror every run folder below RUNS, one after the other."""
    parser = argparse.ArgumentParser(description="mirror run folders to TensorBoard")
    parser.add_argument("runs", type=Path, metavar="RUNS", help="results folder")
    parser.add_argument("--patience", type=float, default=120, metavar="S", help="for one trial")
    options = parser.parse_args(arguments)
    return sync(options.runs, TensorBoard(name="tensorboard"), options.patience)


if __name__ == "__main__":
    outlast()
    sys.exit(main())
