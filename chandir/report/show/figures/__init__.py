"""Figures in one house style, as SVG and PNG."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import groupby
from pathlib import Path

from chandir.report.show.answer import Answer
from chandir.report.show.figures import curves, differences, kernels, lambdas, scores
from chandir.report.show.figures.artefacts import of_part
from chandir.report.show.figures.style import Drawing
from chandir.report.show.figures.worth import worth
from chandir.report.show.rows import Row

__all__ = ["general", "of_answer", "of_part", "of_task"]


def of_answer(answer: Answer, folder: Path, name: str) -> list[Drawing]:
    """Draw what a setting says: over λ where that was swept, else the difference of each arm."""
    task = answer.first.cell.task
    if lambdas.sweeps(answer.rows):
        title = f"{task}: the score over λ"
        return [lambdas.draw([answer.rows], folder, name, title, differences.WIDTH)]
    title = f"{task}: difference to plain gradients"
    return [differences.draw(answer.shown, folder, name, title)]


def general(folder: Path) -> list[Drawing]:
    """Draw what needs no runs: the kernels."""
    return [kernels.draw(folder)]


def of_task(rows: Sequence[Row], shown: Collection[int], folder: Path) -> list[Drawing]:
    """Draw what the rows of one task allow: lambda sweeps, every trial, curves of each setting.

    Settings whose every cell is among `shown`, by its id, have their place in an artefact.
    """
    task = rows[0].cell.task
    panels = [list(group) for _, group in groupby(rows, key=lambda row: id(row.setting))]
    panels = [panel for panel in panels if worth([row.cell.complete for row in panel])]
    panels = [panel for panel in panels if any(id(row.cell) not in shown for row in panel)]
    if not panels:
        return []
    drawings = []
    swept = [panel for panel in panels if lambdas.sweeps(panel)]
    for i in range(0, len(swept), 2):  # two panels side by side can still be read
        name = _slug(f"{task}-lambda" + (f"-{i // 2 + 1}" if len(swept) > 2 else ""))
        title = f"the score over λ, {task}"
        drawings.append(lambdas.draw(swept[i : i + 2], folder, name, title))
    complete = [row for panel in panels for row in panel]
    drawings.append(scores.of_rows(complete, folder, _slug(f"{task}-scores")))
    for panel in panels:
        if any(trial.log for row in panel for trial in row.cell.complete):
            name = _slug(f"{task}-curves-{panel[0].setting.name}")
            drawings.append(curves.of_rows(panel, folder, name))
    return drawings


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
