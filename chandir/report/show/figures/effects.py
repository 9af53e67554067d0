"""Effects: every gain with its interval about zero, the paper's beside it where it prints one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from chandir.report.judge.finding import Finding
from chandir.report.show.evidence import by_heading
from chandir.report.show.figures.style import INK, Drawing, Look, figure, looks, save, twice

WIDER = 6  # times the usual panel's range, from where one panel would flatten the others

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def drawable(findings: Sequence[Finding]) -> list[Finding]:
    """The gains in the score that have an interval, those of one heading together."""
    gains = [f for f in findings if f.claim.kind == "gain" and f.claim.value == "score"]
    return by_heading([f for f in gains if f.contrast and f.contrast.at(f.level)])


@twice
def draw(
    findings: Sequence[Finding], what: str, folder: Path, name: str, title: str, foot: str
) -> Drawing:
    """Draw a panel per heading and a line per gain, all on one axis where they fit on one.

    Args:
        findings: At least one, from `drawable`.
        what: The score in words, with its unit.
        folder: Where the files go.
        name: The files' name.
        title: What the figure is called.
        foot: Printed below it, see `scores.footer`.
    """
    panels = [(k, list(some)) for k, some in groupby(findings, key=lambda f: f.claim.heading)]
    heights = [len(some) + (1.4 if heading else 0.4) for heading, some in panels]
    ends = [max(abs(x) for f in some for x in _ends(f)) for _, some in panels]
    shared = max(ends) <= WIDER * median(ends)
    fig, axes = figure(
        6.4, 0.7 + (0.24 if shared else 0.31) * sum(heights), rows=len(panels), sharex=shared,
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    palette = looks([f.claim.arms[0].name.split(",")[0] for f in findings])
    for axis, (heading, some) in zip(axes[:, 0], panels, strict=True):
        axis.axvline(0, color=INK, lw=0.7)
        for y, f in enumerate(some):
            _line(axis, y, f, palette[f.claim.arms[0].name.split(",")[0]])
        names = [f"{f.claim.arms[0].name} − {f.claim.baseline[0].name}" for f in some]
        axis.set_yticks(range(len(some)), names)
        axis.set_ylim(len(some) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        axis.set_title(heading[:1].upper() + heading[1:])
    axes[-1, 0].set_xlabel(f"gain in {what}: to the right, the first is better")
    caption = (
        "Differences of means with their intervals, at the level that Holm's procedure gives "
        "within the family; filled where zero is outside."
    )
    if not shared:
        caption += " Each panel has a range of its own."
    if any(f.paper is not None for f in findings):
        caption += " Crosses: what the paper reports."
    return save(fig, folder, name, title, caption, foot)


def _ends(f: Finding) -> tuple[float, float]:
    assert f.contrast is not None
    interval = f.contrast.at(f.level)
    assert interval is not None
    return interval


def _line(axis: Axes, y: int, f: Finding, look: Look) -> None:
    assert f.contrast is not None
    interval = _ends(f)
    clear = interval[0] > 0 or interval[1] < 0
    axis.plot(interval, [y, y], "-", color=look.colour, lw=1.2)
    axis.plot(
        f.contrast.value, y, look.marker, ms=6, color=look.colour, mew=1.2,
        mfc=look.colour if clear else "#ffffff",
    )  # fmt: skip
    if f.paper is not None:
        axis.plot(f.paper, y, "x", color=INK, ms=5, mew=1.2)
