"""How alike the channels of each cell's trained weights are: one table over all that ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chandir.report.show.rows import Row
from chandir.report.show.sheet import Sheet
from chandir.report.show.words import spread
from chandir.report.statistics import summarise

# Column title -> where the number stands in correlation.json, see `chandir.correlation.summary`.
_COLUMNS = {
    "Output": ("output", "mean"),
    "Output, balanced": ("output", "invariant"),
    "Input": ("input", "mean"),
    "Input, balanced": ("input", "invariant"),
}


def correlated(rows: Sequence[Row]) -> Sheet | None:
    """The mean correlation of every cell, mean ± sd over its trials; None where none was kept."""
    body: list[tuple[str, ...]] = []
    values: list[dict[str, float | None]] = []
    last = ""
    for row in rows:
        found = [t.correlation for t in row.cell.complete if t.correlation.get("layers")]
        if not found:
            continue
        over = {title: _numbers(found, path) for title, path in _COLUMNS.items()}
        every = {title: summarise(some) if some else None for title, some in over.items()}
        setting = f"{row.cell.task}, {row.setting.title}"
        body.append((
            setting if setting != last else "", row.metric, str(len(found)),
            *(spread(one, 3) for one in every.values()),
        ))  # fmt: skip
        values.append({"Trials": len(found)} | {t: s.mean if s else None for t, s in every.items()})
        last = setting
    if not body:
        return None
    notes = (
        "The mean cosine of two filters, over all pairs of all convolutions, along output and "
        "input channels; balanced: after the scalings that leave a network with ReLU unchanged "
        "are taken out (Figure 1's). Independent filters have 0. The paper does not define its "
        "correlation.",
    )
    header = ("Setting", "Metric", "Trials", *_COLUMNS)
    caption = "Correlation between the channels of what was trained, mean ± sd over trials."
    return Sheet(caption, header, tuple(body), notes, tuple(values))


def _numbers(found: Sequence[Any], path: tuple[str, str]) -> list[float]:
    parts = [(one.get(path[0]) or {}).get(path[1]) for one in found]
    return [float(part) for part in parts if isinstance(part, (int, float))]
