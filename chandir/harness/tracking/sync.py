"""Sweeps to a dashboard afterwards, or while they run, from their run folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from chandir import runfolder
from chandir.harness.config.schema import Tracking
from chandir.harness.durable import claim
from chandir.harness.durable.provenance import ROOT
from chandir.harness.tracking import mirror, tracker
from chandir.runfolder import find


def sync(runs: Path, settings: Tracking, patience: float) -> int:
    """Mirror every run folder below `runs`, one after the other; doing it again changes nothing.

    Args:
        runs: the results folder.
        settings: the configuration's ``tracker``.
        patience: seconds for one trial.

    Returns:
        The exit status: 0 if every trial is there, 1 otherwise.
    """
    folders = [each for each in find.folders(runs) if (each / "config.yaml").is_file()]
    if not folders:
        what = "no trial there" if runs.is_dir() else "there is no such folder"
        print(f"{runs}: {what}; expected a results folder, such as results/runs", file=sys.stderr)
        return 1
    counts = {"mirrored": 0, "there already": 0, "followed live": 0, "failed": 0}
    for folder in folders:
        try:
            outcome = _mirror(folder, settings, patience)
        except OSError as error:  # a folder that cannot be written to; the others can
            print(f"{folder}: {error}", file=sys.stderr)
            outcome = "failed"
        counts[outcome] += 1
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["failed"] else 0


def _mirror(folder: Path, settings: Tracking, patience: float) -> str:
    found, given = runfolder.state(folder), settings.model_dump()
    if found.status == "damaged" and not claim.running(folder):
        print(f"{folder}: damaged: {found.reason}", file=sys.stderr)
        return "failed"
    if found.complete and mirror.mirrored(folder, given):
        return "there already"
    if mirror.busy(folder, given):
        return "followed live"  # two writers would disturb each other
    log = folder / settings.name / "mirror.log"
    log.parent.mkdir(exist_ok=True)
    try:
        with open(log, "wb") as output:
            subprocess.run(
                tracker.command(folder, settings),
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
        print(f"{folder}: {tracker.last_line(folder, settings)}", file=sys.stderr)
    else:
        return "mirrored"
    return "failed"
