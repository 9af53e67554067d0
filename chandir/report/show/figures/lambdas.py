"""Figure 6: the score over the strength of the smoothing, lambda."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chandir.report.read.cells import BEFORE
from chandir.report.show.figures.scores import footer
from chandir.report.show.figures.style import (
    INK,
    Drawing,
    Look,
    figure,
    legend,
    looks,
    save,
    twice,
)
from chandir.report.show.rows import Row, score_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NO_ZERO = "sobolev (λ = lam)"


@dataclass(frozen=True)
class Sweep:
    """One line of the figure: cells that differ in one number only.

    Attributes:
        name: The metric, and which of its numbers is swept.
        points: (lambda, row), by lambda.
    """

    name: str
    points: tuple[tuple[float, Row], ...]


def sweeps(rows: Sequence[Row]) -> list[Sweep]:
    """Return the sweeps over lambda among the rows of one setting; none without one of two values.

    Beside such a one, a metric that has one value so far is a sweep too, unless another shows it.
    The paper varies "lambda" for both metrics and calls lambda = 0 plain SGD. For h0_lambda that is
    its lam; for sobolev it is its weight. The other reading, sobolev's lam, has no such zero and is
    a line of its own.
    """
    found = []
    for metric, swept in (("h0_lambda", "lam"), ("sobolev", "weight"), ("sobolev", "lam")):
        families: dict[str, dict[float, Row]] = {}
        for row in rows:
            config = row.cell.config["metric"]
            numbers = [config.get(key, 1) for key in ("lam", "weight", "h0_scale")]
            if not all(isinstance(number, int | float) for number in numbers):
                continue  # another metric of this name
            if config["name"] == metric and row.cell.complete and not row.cell.baseline:
                name = _name(config, swept)
                families.setdefault(name, {})[float(config.get(swept, 1))] = row
        for name, points in families.items():
            found.append(Sweep(name, tuple((lam, points[lam]) for lam in sorted(points))))
    lines = [sweep for sweep in found if len(sweep.points) > 1]
    shown = {id(row) for sweep in lines for _, row in sweep.points}
    kept = []
    for sweep in found if lines else []:
        first = id(sweep.points[0][1])
        if len(sweep.points) > 1 or first not in shown:
            kept.append(sweep)
            shown.add(first)
    return kept


@twice
def draw(
    panels: Sequence[Sequence[Row]], folder: Path, name: str, title: str, width: float = 6.4
) -> Drawing:
    """Draw the score over lambda, one panel per setting: trials, means and 95 % t-intervals.

    Args:
        panels: For each setting its rows; each has a sweep.
        folder: Where the files go.
        name: The files' name.
        title: What the figure is called.
        width: In inches.
    """
    fig, axes = figure(width, 3.0, columns=len(panels))
    names = [sweep.name for rows in panels for sweep in sweeps(rows)]
    palette = looks(names)
    for axis, rows in zip(axes[0], panels, strict=True):
        found = sweeps(rows)
        baseline = next((row for row in rows if row.cell.baseline and row.last), None)
        if baseline:
            _baseline(axis, baseline)
        for i, sweep in enumerate(found):
            start = [(0.0, baseline)] if baseline and not sweep.name.startswith(_NO_ZERO) else []
            _sweep(axis, sweep, start, palette[sweep.name], 3.5 * (i - (len(found) - 1) / 2))
        # Linear to 1, then logarithmic: 0 is on the axis and 0.5 to 20 are told apart.
        axis.set_xscale("symlog", linthresh=1, linscale=0.6)
        ticks = sorted({0.0} | {lam for sweep in found for lam, _ in sweep.points})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_xlim(-0.25, ticks[-1] * 1.3)
        values = [value for row in (*_rows(found), baseline) if row for value in _extent(row)]
        room = 0.06 * (max(values) - min(values)) or 0.1
        axis.set_ylim(min(values) - room, max(values) + room)
        axis.set_title(_panel(rows, panels))
        axis.set_xlabel("λ (0 is h0)")
    axes[0][0].set_ylabel(score_name(panels[0][0].cell))
    legend(fig)
    caption = (
        "Every trial (faint), means and 95 % t-intervals at the last epoch; dashed: h0, with its "
        "interval as a band. For sobolev λ is the weight of the smoothed gradient, since the "
        "paper's λ = 0 is plain SGD; its kernel's own lam, where swept, is a separate line."
    )
    shown = [row for rows in panels for row in rows]
    return save(fig, folder, name, title, caption, footer([row.cell for row in shown]))


def _panel(rows: Sequence[Row], panels: Sequence[Sequence[Row]]) -> str:
    """The data set if that tells the panels apart, else the setting."""
    data = [panel[0].cell.config["data"].get("name") for panel in panels]
    own = rows[0].cell.config["data"].get("name")
    return str(own) if own and data.count(own) == 1 else textwrap.fill(rows[0].setting.title, 36)


def _name(metric: Mapping[str, Any], swept: str) -> str:
    words = [f"{metric['name']} (λ = {swept})"]
    for key, default in BEFORE.items():
        value = metric.get(key, default)
        if key != swept and value != default:
            words.append(str(value) if isinstance(value, str) else f"{key} {value:g}")
    return ", ".join(words)


def _baseline(axis: Axes, row: Row) -> None:
    assert row.last is not None
    axis.axhline(row.last.mean, color=INK, lw=1, ls=(0, (4, 3)), label="h0")
    if row.last.interval:
        axis.axhspan(*row.last.interval, color=INK, alpha=0.08, lw=0)
    values = row.cell.scores()
    axis.plot([0] * len(values), values, "o", color=INK, alpha=0.3, mew=0)
    axis.plot(0, row.last.mean, "o", color=INK)


def _rows(found: Sequence[Sweep]) -> list[Row]:
    return [row for sweep in found for _, row in sweep.points]


def _extent(row: Row) -> list[float]:
    return [*row.cell.scores(), *((row.last and row.last.interval) or ())]


def _sweep(
    axis: Axes, sweep: Sweep, start: list[tuple[float, Row]], look: Look, shift: float
) -> None:
    """Draw one line, `shift` points to the right, so that lines do not hide each other."""
    from matplotlib.transforms import ScaledTranslation

    assert axis.figure is not None
    moved = axis.transData + ScaledTranslation(shift / 72, 0, axis.figure.dpi_scale_trans)
    line = [(lam, row.last.mean) for lam, row in (*start, *sweep.points) if row.last]
    axis.plot(
        [lam for lam, _ in line], [mean for _, mean in line], color=look.colour,
        marker=look.marker, markevery=slice(len(start), None), label=sweep.name, transform=moved,
    )  # fmt: skip
    for lam, row in sweep.points:
        values = row.cell.scores()
        axis.plot(
            [lam] * len(values), values, look.marker, color=look.colour, alpha=0.3, mew=0, ms=3.5,
            transform=moved,
        )  # fmt: skip
        if row.last and row.last.interval:
            axis.plot([lam, lam], row.last.interval, color=look.colour, lw=1, transform=moved)
