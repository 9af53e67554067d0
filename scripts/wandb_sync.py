"""Mirror finished or running sweeps to W&B, from their run folders. Doing it again changes nothing.

    python scripts/wandb_sync.py results/runs --project chandir

Exit status: 0 if every trial is there, 1 otherwise; the same command tries again what is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir.harness.base.output import outlast
from chandir.harness.config.schema import Wandb
from chandir.harness.config.wording import sentence
from chandir.harness.tracking.sync import sync


def main(arguments: list[str] | None = None) -> int:
    """Mirror every run folder below RUNS, one after the other."""
    parser = argparse.ArgumentParser(description="mirror run folders to W&B")
    parser.add_argument("runs", type=Path, metavar="RUNS", help="results folder")
    parser.add_argument("--project", default="chandir")
    parser.add_argument("--entity", help="default: the account's")
    parser.add_argument("--mode", choices=("online", "offline"), default="online")
    parser.add_argument("--patience", type=float, default=120, metavar="S", help="for one trial")
    options = parser.parse_args(arguments)
    given = {key: getattr(options, key) for key in ("mode", "project", "entity")}
    try:
        target = Wandb(name="wandb", **given)
    except ValidationError as error:
        parser.error("; ".join(f"--{sentence(each)}" for each in error.errors()))
    return sync(options.runs, target, options.patience)


if __name__ == "__main__":
    outlast()
    sys.exit(main())
