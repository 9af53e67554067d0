"""What a command line's trials came to, cell by cell, and what it would run."""

from __future__ import annotations

import shlex
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path

from chandir.harness.base import output
from chandir.harness.base.errors import UserError
from chandir.harness.base.folders import shown
from chandir.harness.base.words import duration, many
from chandir.harness.sweep import table
from chandir.harness.sweep.complete import CHOICES, Complete
from chandir.harness.sweep.differences import Differences
from chandir.harness.sweep.table import Compare
from chandir.harness.sweep.tally import Cell, cells
from chandir.harness.tracking.progress import in_words
from chandir.runfolder import reading, weights

TRACEBACKS = 5  # different ones shown at the end of a sweep


def plan_text(complete: Complete) -> str:
    """What would run: cells, trials, what is done, labels, and the time left if it can be told."""
    jobs, every = complete.jobs, cells(complete)
    total = sum(entry.planned * entry.steps for entry in every)
    lines = [
        f"{many(len(jobs), 'trial')} of {many(len(every), 'cell')}, {many(total, 'step')}, under "
        f"{shown(Path(jobs[0].resolved.config.paths.results))}"
    ]
    remarks = [
        [f"label: {label}" for label in entry.labels] + [f"note: {note}" for note in entry.notes]
        for entry in every
    ]
    shared = [remark for remark in remarks[0] if all(remark in each for each in remarks)]
    for entry, own in zip(every, remarks, strict=True):
        lines.append(f"  {entry.name}")
        lines.append(
            f"      {many(entry.planned, 'trial')} of {many(entry.epochs, 'epoch')}, "
            f"{many(entry.steps, 'step')} each, {len(entry.results)} done"
            + "".join(f", {len(each)} with {other}" for other, each in entry.others.items())
        )
        lines += [f"      {remark}" for remark in own if remark not in shared]
    lines += [*shared, *complete.told()]
    if complete.others:
        lines.append(f"  {CHOICES[complete.choice]}")
    lines += complete.notes()
    if any(entry.left for entry in every):
        lines.append(_time_left(every))
    return "\n".join(fitted(line) for line in lines)


def _time_left(every: list[Cell]) -> str:
    """As measured in each cell, or else in those of the same task, network and batch size."""
    seconds, others = 0.0, 0
    for entry in every:
        alike = [pace for other in every if other.like == entry.like for pace in other.paces]
        paces = entry.paces or alike
        if entry.left and not paces:
            return "time left: unknown until an epoch of each network and batch size is done"
        others += bool(entry.left) and not entry.paces
        seconds += entry.left * statistics.fmean(paces) if entry.left else 0.0
    cells_of = f"{many(others, 'cell')} at the pace of others with the same network"
    borrowed = f" ({cells_of})" if others else ""
    return f"about {seconds / 60:.1f} min left, one trial after the other, as measured{borrowed}"


def text(complete: Complete, compare: Compare | None = None) -> str:
    """What the trials came to, each failed one's last line, and the tracebacks.

    Args:
        complete: the command line's trials.
        compare: means and differences of complete trials; None: means alone.
    """
    every, jobs = cells(complete), complete.jobs
    alone = len(jobs) == 1
    lines = _single(every[0]) if alone else table.table(every, Differences(jobs), compare)
    lines += complete.told()
    for label in sorted({label for entry in every for label in entry.labels}):
        lines.append(f"label: {label}")
    for note in sorted({note for entry in every for note in entry.notes}):
        lines.append(f"note: {note}")
    lines += [unlike(entry.name, entry.machines) for entry in every if len(entry.machines) > 1]
    for entry in every:
        for folder, why in entry.failed.items():
            told = "traceback: error.txt" if (folder / "error.txt").is_file() else "told above"
            lines.append(f"failed: {folder}: {why} ({told})")
        for folder, why in entry.damaged.items():
            lines.append(f"damaged: {folder}: {why} (the same command runs it again)")
    lines += _tracebacks([folder for entry in every for folder in entry.failed])
    waiting = sum(entry.planned - entry.done - len(entry.failed) for entry in every)
    if waiting:
        are = f"{waiting} of {many(len(jobs), 'trial')} {'is' if waiting == 1 else 'are'}"
        of = "the trial is" if alone else are
        lines.append(f"{of} not finished: the same command continues")
    if not alone and any(entry.results for entry in every):
        lines.append(f"run folders: {shown(_common([entry.home for entry in every]))}")
    return "\n".join(line if line[:4].isspace() else fitted(line) for line in lines if line)


def fitted(line: str) -> str:
    """A line wrapped between words, where it is longer than a terminal is wide.

    Paths stay whole; a line with one that is longer than that is left to the terminal.
    """
    width = output.columns()
    whole = len(line) <= width or max(map(len, line.split())) > width - 2
    if whole or not output.watched():
        return line
    return textwrap.fill(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _single(entry: Cell) -> list[str]:
    """What a trial by itself came to, where that is, and what to do with it; empty without one."""
    for folder, final in entry.results.items():
        score, last, best = final["score"], final["last"], final["best"]
        name = score["name"]
        told = f"{final['status']}: {name.replace('_', ' ')} {in_words(last.get(name), score)}"
        if final["status"] == "done" and best["epoch"] != last["epoch"]:
            told += f" (best epoch, {best['epoch']}: {in_words(best[name], score)})"
        lines = [f"{told}, {duration(final['totals']['seconds'])}", f"folder: {shown(folder)}"]
        if (folder / weights.NAME).is_file():
            lines.append(f"weights: {weights.NAME} in it, a state_dict for torch.load")
        task = "" if entry.like[0] == "digits" else f" task={entry.like[0]}"
        results = folder.parents[2]
        page = shlex.join(
            ["python", "scripts/report.py", str(results), "--out", str(results.parent / "page")]
        )
        return [
            *lines,
            f"against the plain gradient: python run.py experiment=compare{task}",
            f"as a page: {page}",
        ]
    return []


def _common(homes: Sequence[Path]) -> Path:
    """The folder that holds all cells: a task's, or the results'."""
    parents = {home.parent for home in homes}
    return parents.pop() if len(parents) == 1 else homes[0].parents[1]


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
