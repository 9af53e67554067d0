"""The cells of a command line: what their trials came to, as their run folders stand."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chandir import runfolder
from chandir.harness.cells.resolve import Resolved
from chandir.harness.config.schema import Config
from chandir.harness.durable import outcomes
from chandir.harness.durable.provenance import machines
from chandir.harness.sweep.complete import Complete
from chandir.harness.trial.origins import Origin
from chandir.runfolder import log


@dataclass
class Cell:
    """The trials of one cell, as their run folders stand.

    Attributes:
        home: the cell's folder.
        labels: how it deviates from the paper.
        notes: what was chosen where the paper is silent.
        epochs: of one trial.
        steps: of one trial, on the task's own data.
        planned: trials asked for.
        results: ``final.json`` of the complete ones of this code and these data, by run folder.
        others: that of the complete ones of other code or data, apart for each: no mean is of two.
        waits: whether those run again, so that they are not done.
        failed: why, of each run folder with an error.
        damaged: why, of each that has a result which cannot be trusted; it is run again.
        machines: the kinds that ran the complete ones, each once.
        like: what decides how long a step takes, first of all: task, network and batch size.
        ran: epochs that the trials which are not complete have behind them.
        paces: seconds per epoch of every trial that has one behind it.
    """

    home: Path
    labels: list[str]
    notes: list[str]
    epochs: int
    steps: int
    like: tuple[str, str, int | None]
    planned: int = 0
    results: dict[Path, dict[str, Any]] = field(default_factory=dict)
    others: dict[Origin, list[dict[str, Any]]] = field(default_factory=dict)
    waits: bool = False
    failed: dict[Path, str] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)
    ran: int = 0
    paces: list[float] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.home.name

    @property
    def left(self) -> int:
        """Epochs that are still to be run."""
        return self.epochs * (self.planned - self.done) - self.ran

    @property
    def done(self) -> int:
        """Trials that are not run any more."""
        others = sum(map(len, self.others.values()))
        return len(self.results) + (0 if self.waits else others)


def cells(complete: Complete) -> list[Cell]:
    """The cells of a command line, in its order, read from the run folders."""
    found: dict[Path, Cell] = {}
    for job in complete.jobs:
        home, resolved = job.folder.parent, job.resolved
        if home not in found:
            found[home] = Cell(
                home,
                resolved.labels,
                resolved.notes,
                resolved.config.task.epochs or 0,
                steps(resolved.config),
                like(resolved),
            )
        entry = found[home]
        entry.planned += 1
        _add(entry, job.folder, complete)
    return list(found.values())


def _add(entry: Cell, folder: Path, complete: Complete) -> None:
    """Count what a run folder says, and what this process knows if the folder could not be told."""
    found, known = runfolder.state(folder), outcomes.of(folder)
    if found.complete:
        totals = found.final["totals"]
        entry.paces.append(totals["seconds"] / totals["epochs"])
        if folder in complete.again:  # its result stands until the new run has begun
            entry.waits = True
            if known is not None:
                entry.failed[folder] = known
        if other := complete.others.get(folder):
            entry.others.setdefault(other, []).append(dict(found.final))
        elif folder not in complete.again:
            entry.results[folder] = dict(found.final)
            entry.machines += [m for m in machines(found.provenance) if m not in entry.machines]
        return
    if found.status == "damaged" and known is None:
        entry.damaged[folder] = found.reason
        return
    if rows := log.rows(folder / log.NAME):
        entry.ran += len(rows)
        entry.paces.append(statistics.fmean(row["seconds"] for row in rows))
    if found.status == "failed" or known is not None:
        entry.failed[folder] = found.reason if found.status == "failed" else str(known)


def steps(config: Config) -> int:
    """Optimizer steps of one trial; the last partial batch of an epoch is one, unless dropped."""
    samples = (config.task.model_extra or {}).get("train_size") or config.task.shape["samples"]
    assert config.task.batch_size is not None
    assert config.task.epochs is not None
    whole, rest = divmod(samples, config.task.batch_size)
    partial = rest > 0 and not config.task.shape.get("drop_last")
    return (whole + partial) * config.task.epochs


def like(resolved: Resolved) -> tuple[str, str, int | None]:
    """What decides how long a step takes, first of all: task, network and batch size."""
    config = resolved.config
    return config.task.name, config.model.name, config.task.batch_size
