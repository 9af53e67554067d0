"""A run folder as a W&B run: ``python -m chandir.harness.tracking.mirror FOLDER --project P``.

The folder is the truth and is only read. The run's id follows from cell and trial, so a trial that
was continued stays one run; scores have their own epoch axis; mirroring twice changes nothing. One
process at a time mirrors a folder, another one waits for it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from chandir import runfolder
from chandir.harness.base import files, signals
from chandir.harness.config import limits
from chandir.harness.durable import claim
from chandir.runfolder import log, reading, secrets
from chandir.runfolder.contents import read_config, read_provenance

Mode = Literal["offline", "online"]
POLL = 0.5  # seconds between two looks at a log that grows
LOCK = ".lock"
TAG = 64  # characters
LAST = 60  # seconds that a process may outlive the trial that it follows


def identity(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """How W&B files a trial: id from cell and trial, group the cell, job type the task.

    Args:
        folder: ``<results>/<task>/<cell>-<key>/trial-<k>``.
        config: its ``config.yaml``.
    """
    readable, _, key = folder.parent.name.rpartition("-")

    def short(end: str) -> str:
        end = f"-{key}{end}"
        return readable[: limits.WANDB - len(end)] + end

    return {
        "id": f"{key}-{config['trial']}",
        "name": short(f" trial {config['trial']}"),
        "group": short(""),
        "job_type": config["task"]["name"],
        # W&B refuses longer ones, as it does longer names.
        "tags": [tag[:TAG] for tag in (config.get("artefact"), config["scale"]["name"]) if tag],
    }


def mirror(folder: Path, mode: Mode, project: str, entity: str | None, follow: bool) -> None:
    """Bring a run folder to W&B.

    Args:
        folder: the trial's.
        mode: ``offline`` (a record under ``folder/wandb``, for ``wandb sync``) or ``online``.
        project: W&B's.
        entity: W&B's; None: the user's default.
        follow: go on until standard input ends; otherwise what is there now.

    Raises:
        Damaged: if the folder cannot be trusted; nothing is sent, and nothing marked as sent.
    """
    config, provenance = read_config(folder), read_provenance(folder)
    found = runfolder.read(folder)
    if found.status == "damaged" and not follow:
        raise runfolder.Damaged(found.reason)
    import wandb

    named = identity(folder, config)
    if mode == "offline":  # written anew from the log, so that there is one record of each epoch
        for old in folder.glob(f"wandb/offline-run-*-{named['id']}"):
            shutil.rmtree(old)
    settings = wandb.Settings(
        console="off", silent=True, disable_git=True, disable_code=True, init_timeout=30
    )
    run = wandb.init(
        **named,
        mode=mode,
        project=project,
        entity=entity,
        dir=str(folder),
        config=secrets.mask({**config, "provenance": provenance}),
        resume="allow",
        settings=settings,
    )
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")
    sent = 0
    while True:
        over = not follow or _ended()
        rows = log.rows(folder / log.NAME)
        for row in rows[sent:]:
            if row["epoch"] >= run.step:  # the server has the earlier ones
                run.log({key: _number(row[key]) for key in row}, step=row["epoch"])
        sent = len(rows)
        if over:
            break
    found = runfolder.read(folder)
    complete = found.complete and sent == len(found.log)
    if complete:
        run.summary.update(_summary(found.final))
    elif found.status == "incomplete":
        run.mark_preempting()  # else W&B would call it failed: it runs still, or will go on
    run.finish(exit_code=0 if complete else 1)
    if complete:
        files.write(folder / "wandb" / "mirrored.json", _mark(mode, project, entity))


def busy(folder: Path) -> bool:
    """Whether a process mirrors this folder now."""
    return claim.locked(folder / "wandb" / LOCK)


def _alone(folder: Path) -> None:
    """Wait for the process that mirrors this folder; the lock ends with this process."""
    path = folder / "wandb" / LOCK
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with suppress(OSError):  # no locks on this file system
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def mirrored(folder: Path, mode: str, project: str, entity: str | None) -> bool:
    """Whether W&B has the complete trial already."""
    try:
        mark = reading.content(folder / "wandb" / "mirrored.json")
    except runfolder.Damaged:
        return False
    return mark == _mark(mode, project, entity)


def _mark(mode: str, project: str, entity: str | None) -> bytes:
    return files.to_json({"mode": mode, "project": project, "entity": entity}).encode()


def _ended() -> bool:
    """Wait a moment; whether the trial is over, or its process gone."""
    if not select.select([sys.stdin], [], [], POLL)[0]:
        return False
    signal.alarm(LAST)
    return True


def _number(value: Any) -> Any:
    return float("nan") if value is None else value  # JSON has no NaN


def _summary(final: Mapping[str, Any]) -> dict[str, Any]:
    parts = {name: final[name] for name in ("last", "best", "totals")}
    flat = {f"{name}/{key}": _number(part[key]) for name, part in parts.items() for key in part}
    return {"status": final["status"], **flat}


def main(arguments: list[str] | None = None) -> int:
    """Mirror one folder."""
    parser = argparse.ArgumentParser(description="mirror a run folder to W&B")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mode", choices=("offline", "online"), default="offline")
    parser.add_argument("--project", required=True)
    parser.add_argument("--entity")
    parser.add_argument("--follow", action="store_true", help="until standard input ends")
    options = parser.parse_args(arguments)
    if options.follow:  # SLURM sends a trial's signals to every process of the job
        for signum in signals.SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
    try:
        _alone(options.folder)
        mirror(**vars(options))
    except (runfolder.Damaged, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
