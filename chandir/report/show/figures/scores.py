"""Every trial's score, one line per arm: the spread behind the means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from chandir.report.read.cells import Cell
from chandir.report.show.figures.style import Drawing, Look, figure, looks, save, twice
from chandir.report.show.rows import Row, score_name
from chandir.report.show.words import deviations
from chandir.report.statistics import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Line:
    """One line: a name, what gives it its look, and its trials.

    Attributes:
        name: As on the axis.
        family: Lines of one family look alike.
        values: One per trial.
        lost: Those of diverged trials.
    """

    name: str
    family: str
    values: Sequence[float]
    lost: Sequence[float] = ()


@twice
def draw(
    panels: Mapping[str, Sequence[Line]], xlabel: str, folder: Path, name: str, title: str,
    foot: str,
) -> Drawing:  # fmt: skip
    """Draw one panel per setting: every trial, the mean and its 95 % t-interval.

    Args:
        panels: The lines of each setting, by its title.
        xlabel: The score in words.
        folder: Where the files go.
        name: The files' name.
        title: What the figure is called.
        foot: Printed below it, see `footer`.
    """
    heights = [len(panel) + 1.2 for panel in panels.values()]
    fig, axes = figure(
        6.4, 0.5 + 0.24 * sum(heights), rows=len(panels), gridspec_kw={"height_ratios": heights}
    )
    for axis, (setting, lines) in zip(axes[:, 0], panels.items(), strict=True):
        palette = looks([line.family for line in lines])
        for y, line in enumerate(lines):
            _line(axis, y, line, palette[line.family])
        axis.set_yticks(range(len(lines)), [line.name for line in lines])
        axis.set_ylim(len(lines) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        axis.set_title(setting)
    axes[-1, 0].set_xlabel(xlabel)
    caption = "Every complete trial (faint), the mean (solid) and its 95 % t-interval."
    if any(line.lost for lines in panels.values() for line in lines):
        caption += " A cross is a trial that diverged; it counts."
    if len(panels) > 1:
        caption += " Each panel has its own range: compare within a panel only."
    return save(fig, folder, name, title, caption, foot)


def of_rows(rows: Sequence[Row], folder: Path, name: str) -> Drawing:
    """Draw all cells of one task, at least one of them with a complete trial."""
    panels = {
        group[0].setting.title: [_of_row(row) for row in group]
        for _, some in groupby(rows, key=lambda row: id(row.setting))
        for group in [list(some)]
    }
    title = f"{rows[0].cell.task}: every trial"
    xlabel = f"{score_name(rows[0].cell)}, last epoch"
    return draw(panels, xlabel, folder, name, title, footer([row.cell for row in rows]))


def footer(cells: Sequence[Cell], planned: int | None = None, alone: bool = False) -> str:
    """Return n and every deviation from the paper, to be printed under a figure of `cells`.

    Of each cell the first `planned` trials are meant, or all; of these the first `alone`.
    """
    trials = [
        [trial for trial in cell.complete if planned is None or trial.index < planned]
        for cell in cells
    ]
    if alone:
        trials = [some[:1] for some in trials]
    sizes = sorted({len(some) for some in trials if some})
    span = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    parts = [f"{span} trial{'s' * (sizes[-1] > 1)} per cell"]
    if alone:
        parts = ["the first trial of each cell"]
    diverged = sum(trial.status == "diverged" for some in trials for trial in some)
    if diverged:
        parts.append(f"{diverged} diverged, counted")
    labels = list(dict.fromkeys(label for cell in cells for label in cell.labels))
    if labels:
        some = "" if all(set(cell.labels) == set(labels) for cell in cells) else ", in some cells"
        parts.append(deviations(labels, some, ", "))
    return "; ".join(parts) + "."


def _of_row(row: Row) -> Line:
    values = row.cell.scores()
    lost = [v for v, t in zip(values, row.cell.complete, strict=True) if t.status == "diverged"]
    family = "h0" if row.cell.baseline else str(row.cell.config["metric"]["name"])
    return Line(row.metric, family, values, lost)


def _line(axis: Axes, y: int, line: Line, look: Look) -> None:
    if not line.values:
        return
    found = summarise(line.values)
    values = [y] * len(line.values)
    axis.plot(line.values, values, look.marker, color=look.colour, alpha=0.3, mew=0)
    axis.plot(line.lost, [y] * len(line.lost), "x", color=look.colour, mew=1.4)
    if found.interval:
        axis.plot(found.interval, [y, y], "-", color=look.colour, lw=1.2)
    axis.plot(found.mean, y, look.marker, color=look.colour, ms=6)
