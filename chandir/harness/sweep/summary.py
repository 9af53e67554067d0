"""What a command line's trials came to, cell by cell, and what it would run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chandir import runfolder
from chandir.harness.base.errors import UserError
from chandir.harness.config.schema import Config
from chandir.harness.durable import outcomes
from chandir.harness.durable.provenance import machines
from chandir.harness.sweep.complete import CHOICES, Complete
from chandir.harness.trial.origins import Origin
from chandir.runfolder import log, reading

TRACEBACKS = 5  # different ones shown at the end of a sweep


@dataclass
class Cell:
    """The trials of one cell, as their run folders stand.

    Attributes:
        name: the cell's folder.
        labels: how it deviates from the paper.
        epochs: of one trial.
        steps: of one trial, on the task's own data.
        planned: trials asked for.
        results: ``final.json`` of the complete ones of this code and these data.
        others: that of the complete ones of other code or data, apart for each: no mean is of two.
        waits: whether those run again, so that they are not done.
        failed: why, of each run folder with an error.
        damaged: why, of each that has a result which cannot be trusted; it is run again.
        machines: the kinds that ran the complete ones, each once.
        like: what decides how long a step takes, first of all: task, network and batch size.
        ran: epochs that the trials which are not complete have behind them.
        paces: seconds per epoch of every trial that has one behind it.
    """

    name: str
    labels: list[str]
    notes: list[str]
    epochs: int
    steps: int
    like: tuple[str, str, int | None]
    planned: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)
    others: dict[Origin, list[dict[str, Any]]] = field(default_factory=dict)
    waits: bool = False
    failed: dict[Path, str] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)
    ran: int = 0
    paces: list[float] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Epochs that are still to be run."""
        return self.epochs * (self.planned - self.done) - self.ran

    @property
    def done(self) -> int:
        """Trials that are not run any more."""
        others = sum(map(len, self.others.values()))
        return len(self.results) + (0 if self.waits else others)


def _diverged(results: list[dict[str, Any]]) -> int:
    """Trials whose loss stopped being finite; they count as complete."""
    return sum(result["status"] == "diverged" for result in results)


def _score(results: list[dict[str, Any]]) -> str:
    """Mean ± standard deviation of the last epoch's score over complete trials."""
    if not results:
        return ""
    primary = results[0]["score"]
    values = [result["last"].get(primary["name"]) for result in results]
    finite = [value for value in values if value is not None]  # diverged ones have none
    if not finite:
        return "not finite"
    spread = f" ± {statistics.stdev(finite):.2f}" if len(finite) > 1 else ""
    return f"{statistics.fmean(finite):.2f}{spread} {primary.get('unit', '')}".rstrip()


def cells(complete: Complete) -> list[Cell]:
    """The cells of a command line, in its order, read from the run folders."""
    found: dict[str, Cell] = {}
    for job in complete.jobs:
        name = job.folder.parent.name
        config = job.resolved.config
        entry = found.setdefault(
            name,
            Cell(
                name,
                job.resolved.labels,
                job.resolved.notes,
                config.task.epochs or 0,
                steps(config),
                (config.task.name, config.model.name, config.task.batch_size),
            ),
        )
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
            entry.results.append(dict(found.final))
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


def plan_text(complete: Complete) -> str:
    """What would run: cells, trials, what is done, labels, and the time left if it can be told."""
    jobs, table = complete.jobs, cells(complete)
    total = sum(entry.planned * entry.steps for entry in table)
    lines = [
        f"{len(jobs)} trials of {len(table)} cells, {total:,} steps, under "
        f"{jobs[0].resolved.config.paths.results}"
    ]
    remarks = [
        [f"label: {label}" for label in entry.labels] + [f"note: {note}" for note in entry.notes]
        for entry in table
    ]
    shared = [remark for remark in remarks[0] if all(remark in each for each in remarks)]
    for entry, own in zip(table, remarks, strict=True):
        lines.append(
            f"  {entry.name}: {entry.planned} trials of {entry.epochs} epochs, "
            f"{entry.steps:,} steps each, {len(entry.results)} done"
            + "".join(f", {len(each)} with {other}" for other, each in entry.others.items())
        )
        lines += [f"      {remark}" for remark in own if remark not in shared]
    lines += [*shared, *complete.told()]
    if complete.others:
        lines.append(f"  {CHOICES[complete.choice]}")
    lines += complete.notes()
    if any(entry.left for entry in table):
        lines.append(_time_left(table))
    return "\n".join(lines)


def _time_left(table: list[Cell]) -> str:
    """As measured in each cell, or else in those of the same task, network and batch size."""
    seconds, others = 0.0, 0
    for entry in table:
        alike = [pace for other in table if other.like == entry.like for pace in other.paces]
        paces = entry.paces or alike
        if entry.left and not paces:
            return "time left: unknown until an epoch of each network and batch size is done"
        others += bool(entry.left) and not entry.paces
        seconds += entry.left * statistics.fmean(paces) if entry.left else 0.0
    borrowed = f" ({others} cells at the pace of others with their network)" if others else ""
    return f"about {seconds / 60:.1f} min left, one trial after the other, as measured{borrowed}"


def text(complete: Complete) -> str:
    """The table at the end of a sweep, each failed trial's last line, and the tracebacks."""
    rows: list[tuple[str, ...]] = [
        ("cell", "planned", "done", "diverged", "failed", "score (last epoch)")
    ]
    table = cells(complete)
    for entry in table:
        counts = (entry.planned, len(entry.results), _diverged(entry.results), len(entry.failed))
        rows.append((entry.name, *map(str, counts), _score(entry.results)))
        for other, results in entry.others.items():
            counts_of = (str(len(results)), str(_diverged(results)))
            rows.append((f"  with {other}", "", *counts_of, "", _score(results)))
    lines = [aligned(rows, left=(0, 5)), *complete.told()]
    for label in sorted({label for entry in table for label in entry.labels}):
        lines.append(f"label: {label}")
    for note in sorted({note for entry in table for note in entry.notes}):
        lines.append(f"note: {note}")
    lines += [unlike(entry.name, entry.machines) for entry in table if len(entry.machines) > 1]
    for entry in table:
        for folder, why in entry.failed.items():
            told = "traceback: error.txt" if (folder / "error.txt").is_file() else "told above"
            lines.append(f"failed: {folder}: {why} ({told})")
        for folder, why in entry.damaged.items():
            lines.append(f"damaged: {folder}: {why} (the same command runs it again)")
    lines += _tracebacks([folder for entry in table for folder in entry.failed])
    waiting = sum(entry.planned - entry.done - len(entry.failed) for entry in table)
    if waiting:
        lines.append(
            f"{waiting} of {len(complete.jobs)} trials are not finished: the same command continues"
        )
    return "\n".join(lines)


def unlike(name: str, kinds: Sequence[str]) -> str:
    """That trials of a cell come from unlike machines."""
    return (
        f"{name}: its trials ran on {len(kinds)} kinds of machines, between which last digits "
        f"differ: {'; '.join(kinds)}"
    )


def _tracebacks(folders: list[Path]) -> list[str]:
    """The failed trials' tracebacks, alike ones once; a user's errors say all in their message."""
    alike: dict[str, list[Path]] = {}
    for folder in folders:
        try:
            told = reading.content(folder / "error.txt", tail=True).decode("utf-8", "replace")
        except reading.Damaged:
            continue
        if f"\n{UserError.__module__}.UserError: " not in told:
            alike.setdefault(told.replace(str(folder), "<trial>").rstrip(), []).append(folder)
    lines = []
    for told, where in list(alike.items())[:TRACEBACKS]:
        others = f" and {len(where) - 1} more" if len(where) > 1 else ""
        lines += [f"{where[0]}{others}:", *(f"    {line}" for line in told.splitlines())]
    if len(alike) > TRACEBACKS:
        lines.append(f"{len(alike) - TRACEBACKS} other tracebacks are in the folders' error.txt")
    return lines


def aligned(rows: Sequence[tuple[str, ...]], left: tuple[int, ...]) -> str:
    """Columns of text: those in ``left`` start at the left, the others end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            part.ljust(width) if column in left else part.rjust(width)
            for column, (part, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
