"""Differences: every arm of one setting against plain gradients, about zero."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chandir.report.show.figures.scores import footer
from chandir.report.show.figures.style import INK, Drawing, figure, looks, save, twice
from chandir.report.show.rows import Row
from chandir.report.show.words import score

WIDTH = 4.6  # inches: it stands beside its table


@twice
def draw(rows: Sequence[Row], folder: Path, name: str, title: str) -> Drawing:
    """Draw the difference of each arm to h0 with its 95 % interval.

    Args:
        rows: h0, then at least one arm with a difference.
        folder: Where the files go.
        name: The files' name.
        title: What the figure is called.
    """
    others = [row for row in rows if row.difference]
    fig, axes = figure(WIDTH, 0.95 + 0.27 * len(others))
    axis = axes[0][0]
    axis.axvline(0, color=INK, lw=0.9)
    palette = looks([str(row.cell.config["metric"]["name"]) for row in others])
    for y, row in enumerate(others):
        gain, look = row.difference, palette[str(row.cell.config["metric"]["name"])]
        assert gain is not None
        low, high = gain.interval or (gain.value, gain.value)
        clear = gain.interval is not None and not low <= 0 <= high
        axis.plot([low, high], [y, y], "-", color=look.colour, lw=1.6)
        axis.plot(
            gain.value, y, look.marker, color=look.colour, ms=6.5, mew=1.4,
            mfc=look.colour if clear else "#ffffff",
        )  # fmt: skip
    axis.set_yticks(range(len(others)), [row.metric for row in others])
    axis.set_ylim(len(others) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    cell = others[0].cell
    unit = "points of " if cell.score.get("unit") == "%" else ""
    way = "right" if cell.score["better"] == "higher" else "left"
    axis.set_xlabel(f"difference to h0, {unit}{score(cell.score['name'])}\n(better: {way})")
    caption = "Differences of means with 95 % Welch intervals; filled where zero is outside."
    return save(fig, folder, name, title, caption, footer([row.cell for row in rows]))
