"""A trial as a run of W&B, one and the same when it is continued: its id is the trial's."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from chandir.harness.config import limits
from chandir.harness.tracking.dashboard import number
from chandir.runfolder import Contents

Mode = Literal["offline", "online"]
TAG = 64  # characters


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


def opened(
    folder: Path,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    mode: Mode,
    project: str,
    entity: str | None,
) -> WandbRun:
    """Open the run; scores have their own axis, the epoch.

    Args:
        folder: the trial's.
        config: its configuration.
        provenance: where its numbers come from.
        mode: ``offline`` (a record under ``folder/wandb``, for ``wandb sync``) or ``online``.
        project: W&B's.
        entity: W&B's; None: the user's default.
    """
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
        config={**config, "provenance": provenance},
        resume="allow",
        settings=settings,
    )
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")
    return WandbRun(run)


class WandbRun:
    """An open run."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def rows(self, rows: list[dict[str, Any]]) -> None:
        """Log epochs; the server has those below its step."""
        for row in rows:
            if row["epoch"] >= self.run.step:
                self.run.log({key: number(row[key]) for key in row}, step=row["epoch"])

    def end(self, found: Contents, complete: bool) -> None:
        """Write the summary and finish."""
        if complete:
            self.run.summary.update(_summary(found.final))
        elif found.status == "incomplete":
            self.run.mark_preempting()  # it runs still, or will go on; else W&B calls it failed
        self.run.finish(exit_code=0 if complete else 1)


def _summary(final: Mapping[str, Any]) -> dict[str, Any]:
    parts = {name: final[name] for name in ("last", "best", "totals")}
    flat = {f"{name}/{key}": number(part[key]) for name, part in parts.items() for key in part}
    return {"status": final["status"], **flat}
