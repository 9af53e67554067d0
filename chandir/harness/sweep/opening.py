"""The first lines of a command: what is about to run, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chandir.harness.base.folders import ROOT, shown
from chandir.harness.base.words import many
from chandir.harness.command.arguments import read
from chandir.harness.sweep.differences import Differences
from chandir.harness.sweep.plan import Job


def opening(jobs: Sequence[Job], arguments: Sequence[str]) -> list[str]:
    """The lines.

    Args:
        jobs: the command line's trials.
        arguments: the command line.
    """
    return [*_alone(jobs, arguments), *_what(jobs), *_where(jobs)]


def _alone(jobs: Sequence[Job], arguments: Sequence[str]) -> list[str]:
    """``trial=25`` is one trial, of that number, which may not be what was meant."""
    for text in arguments:
        if text.startswith("-") or "trial" not in text:
            continue
        item = read(text)
        if item.key_or_group != "trial" or item.is_sweep_override() or len(jobs) > 1:
            continue
        if (number := jobs[0].trial) > 1:
            sweep = "" if {"-m", "--multirun"} & set(arguments) else " (with -m)"
            return [f"trial {number} alone; 'trial=range({number})' for {number} trials{sweep}"]
    return []


def _what(jobs: Sequence[Job]) -> list[str]:
    names, config = Differences(jobs), jobs[0].resolved.config
    if len(jobs) == 1:
        epochs = many(config.task.epochs or 0, "epoch")
        return [f"{names.common()}: trial {config.trial}, {epochs}"]
    cells = many(len(names.cells), "cell")
    what = f"{config.artefact}: " if config.artefact else ""
    return [f"{what}{many(len(jobs), 'trial')} of {cells}: {names.common()}"]


def _where(jobs: Sequence[Job]) -> list[str]:
    config = jobs[0].resolved.config
    alone, results = len(jobs) == 1, Path(config.paths.results)
    lines = [f"folder: {shown(jobs[0].folder)}" if alone else f"results: {shown(results)}"]
    embedded = all(job.resolved.config.task.embedded for job in jobs)
    if Path.cwd() != ROOT and not embedded:
        lines.append(f"data: {shown(Path(config.data.root))}")
    return lines
