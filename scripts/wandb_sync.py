"""Mirror finished or running sweeps to W&B, from their run folders. Doing it again changes nothing.

    python scripts/wandb_sync.py results/runs --project chandir

Exit status: 0 if every trial is there, 1 otherwise; the same command tries again what is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chandir import runfolder
from chandir.harness.base.output import outlast
from chandir.harness.config.schema import Wandb
from chandir.harness.config.wording import sentence
from chandir.harness.durable import claim
from chandir.harness.durable.provenance import ROOT
from chandir.harness.tracking import mirror, tracker
from chandir.runfolder import find


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
    folders = [each for each in find.folders(options.runs) if (each / "config.yaml").is_file()]
    counts = {"mirrored": 0, "there already": 0, "followed live": 0, "failed": 0}
    for folder in folders:
        try:
            outcome = _mirror(folder, target, options.patience)
        except OSError as error:  # a folder that cannot be written to; the others can
            print(f"{folder}: {error}", file=sys.stderr)
            outcome = "failed"
        counts[outcome] += 1
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["failed"] or not folders else 0


def _mirror(folder: Path, target: Wandb, patience: float) -> str:
    found = runfolder.state(folder)
    if found.status == "damaged" and not claim.running(folder):
        print(f"{folder}: damaged: {found.reason}", file=sys.stderr)
        return "failed"
    if found.complete and mirror.mirrored(folder, target.mode, target.project, target.entity):
        return "there already"
    if mirror.busy(folder):
        return "followed live"  # two writers would disturb each other
    log = folder / "wandb" / "mirror.log"
    log.parent.mkdir(exist_ok=True)
    try:
        with open(log, "wb") as output:
            subprocess.run(
                tracker.command(folder, target),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=patience,
                check=True,
            )
    except subprocess.TimeoutExpired:
        print(f"{folder}: no answer within {patience:g} s", file=sys.stderr)
    except subprocess.CalledProcessError:
        print(f"{folder}: {tracker.last_line(folder)}", file=sys.stderr)
    else:
        return "mirrored"
    return "failed"


if __name__ == "__main__":
    outlast()
    sys.exit(main())
