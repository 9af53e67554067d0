"""What a terminal shows of the rows: the table of `scripts/report.py`, a sweep's means."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from chandir import runfolder
from chandir.report.read import divergence
from chandir.report.read.cells import cells
from chandir.report.read.runs import Trial
from chandir.report.show.rows import Row, digits, gain_digits, score_name, tabulate, texts
from chandir.report.show.words import deviations, interval, number, spread

# Columns in the order in which a wider terminal adds them; they are shown in the row's own order.
_COLUMNS = ("Metric", "Trials", "Mean ± sd", "Difference to h0", "its 95 % interval", "p",
            "95 % interval", "Best epoch", "Error reduced")  # fmt: skip
_SHORT = {"Difference to h0": "minus h0", "its 95 % interval": "95 % interval",
          "95 % interval": "of the mean"}  # fmt: skip
_GAP = 2


def compared(folders: Iterable[Path]) -> dict[Path, tuple[str, str, str]]:
    """Mean ± sd of some trials, difference to h0 and its interval, as text by the cell's folder.

    Args:
        folders: complete trials that may be averaged: of one code and the same data in each cell.
    """
    trials = [Trial(**vars(runfolder.read(folder))) for folder in folders]
    rows = rows_of(divergence.settle(trials))
    return {row.cell.folder: _numbers(row) for row in rows if row.last is not None}


def _numbers(row: Row) -> tuple[str, str, str]:
    d, fine, gain = digits(row.cell), gain_digits(row), row.difference
    unit = str(row.cell.score.get("unit") or "")
    return (
        f"{spread(row.last, d)} {unit}".rstrip(),
        number(gain.value, fine, sign=True) if gain else "",
        interval(gain.interval, fine, sign=True) if gain and gain.interval else "",
    )


def rows_of(trials: Sequence[Trial]) -> list[Row]:
    """The rows of some trials, as the page has them."""
    return tabulate(cells(trials))


def tables(rows: Sequence[Row], width: int, spelt: Callable[[str], str] = str) -> str:
    """The rows as aligned text, a table per task and setting, no line wider than the terminal.

    Args:
        rows: every one.
        width: of the terminal.
        spelt: what the terminal makes of a text.
    """
    blocks = []
    for _, group in groupby(rows, key=lambda row: id(row.setting)):
        own = list(group)
        cell, setting = own[0].cell, own[0].setting
        title = f"{cell.task} · {setting.name}: {score_name(cell)}, last epoch"
        shown = [{key: spelt(text) for key, text in texts(row).items()} for row in own]
        told = [deviations(setting.labels)] + [
            f"{row.metric}: {deviations(apart)}" for row in own
            if (apart := [label for label in row.labels if label not in setting.labels])
        ]  # fmt: skip
        labels = [line for text in told for line in textwrap.wrap(spelt(text), width)]
        blocks.append("\n".join([spelt(title)[:width], *_table(shown, width, spelt), *labels]))
    return "\n\n".join(blocks)


def _table(shown: list[dict[str, str]], width: int, spelt: Callable[[str], str]) -> list[str]:
    titles = {key: spelt(_SHORT.get(key, key)) for key in shown[0]}
    widths = {key: max(len(titles[key]), *(len(row[key]) for row in shown)) for key in titles}
    widths["Metric"] = min(widths["Metric"], max(12, width // 3))
    chosen: list[str] = []
    for key in _COLUMNS:
        if sum(widths[other] + _GAP for other in [*chosen, key]) - _GAP > width:
            break
        chosen.append(key)
    keys = [key for key in titles if key in chosen]
    lines = [titles, *shown]
    return [
        (" " * _GAP)
        .join(
            _cut(line[key], widths[key]).ljust(widths[key])
            if key == "Metric"
            else line[key].rjust(widths[key])
            for key in keys
        )
        .rstrip()
        for line in lines
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}~"
