"""The row model: one row per cell, from which every table and figure is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chandir.report.read.cells import Cell
from chandir.report.read.comparisons import Setting, settings
from chandir.report.show.words import bounded, decimals, interval, number, p_value, score, spread
from chandir.report.statistics import Contrast, Summary, difference, error_reduced, summarise


@dataclass(frozen=True)
class Row:
    """One cell with its statistics; what does not exist is None.

    Attributes:
        setting: The cells it may be compared with.
        cell: The cell itself.
        last: Scores at the last epoch, the primary ones; diverged trials count.
        best: Scores at each trial's best test epoch: optimistic, for comparison with reports
            that select on the test set.
        difference: Last epoch, against the baseline of the same setting.
        reduced: Per cent of the baseline's error that is gone.
    """

    setting: Setting
    cell: Cell
    last: Summary | None
    best: Summary | None
    difference: Contrast | None
    reduced: float | None

    @property
    def planned(self) -> int:
        """Trials that have a folder, in whatever state; one that was never started has none."""
        return len(self.cell.trials)

    @property
    def metric(self) -> str:
        """The metric, by what tells it from the others of its setting."""
        return self.setting.metric(self.cell)

    @property
    def labels(self) -> tuple[str, ...]:
        """How the runs deviate from the paper."""
        return self.cell.labels


def tabulate(cells: Iterable[Cell]) -> list[Row]:
    """Return one row per cell, grouped by task and setting, the baseline first."""
    return [_row(setting, cell) for setting in settings(cells) for cell in setting.cells]


def _row(setting: Setting, cell: Cell) -> Row:
    last, best = (
        summarise(cell.scores(epoch)) if cell.complete else None for epoch in ("last", "best")
    )
    baseline = setting.baseline
    if cell.baseline or last is None or baseline is None or not baseline.complete:
        return Row(setting, cell, last, best, None, None)
    reference = summarise(baseline.scores())
    score = cell.score
    reduced = error_reduced(last.mean, reference.mean, score["better"], score.get("unit", ""))
    return Row(setting, cell, last, best, difference(last, reference), reduced)


def score_name(cell: Cell) -> str:
    """Return the score in words, with its unit: ``test accuracy in %``."""
    unit = cell.score.get("unit")
    return score(cell.score["name"]) + (f" in {unit}" if unit else "")


def texts(row: Row) -> dict[str, str]:
    """Return the row as people read it: ``{column title: text}``."""
    d, fine = digits(row.cell), gain_digits(row)
    gain = row.difference
    return {
        "Metric": row.metric,
        "Trials": _trials(row),
        "Mean ± sd": spread(row.last, d),
        "95 % interval": interval(_bounds(row), d),
        "Best epoch": number(row.best.mean if row.best else None, d),
        "Difference to h0": number(gain.value if gain else None, fine, sign=True),
        "its 95 % interval": interval(gain.interval if gain else None, fine, sign=True),
        "p": p_value(gain.p if gain else None),
        "Error reduced": number(row.reduced, 1, unit=" %"),
    }


def brief(row: Row) -> dict[str, str]:
    """Return the row in few columns, intervals beside their means."""
    d, fine, last, gain = digits(row.cell), gain_digits(row), row.last, row.difference
    means = [number(last.mean if last else None, d)]
    gains = [number(gain.value if gain else None, fine, sign=True)]
    if last and last.interval:
        means.append(interval(_bounds(row), d))
    if gain and gain.interval:
        gains.append(interval(gain.interval, fine, sign=True))
    return {
        "Metric": row.metric,
        "Trials": _trials(row),
        "Mean": " ".join(means),
        "Difference to h0": " ".join(gains),
    }


def numbers(row: Row) -> dict[str, float | None]:
    """Return the values behind `texts`, by the titles of `texts` and `brief`, to sort by."""
    gain = row.difference
    return {
        "Trials": len(row.cell.complete),
        "Mean": row.last.mean if row.last else None,
        "Mean ± sd": row.last.mean if row.last else None,
        "95 % interval": row.last.interval[0] if row.last and row.last.interval else None,
        "Best epoch": row.best.mean if row.best else None,
        "Difference to h0": gain.value if gain else None,
        "its 95 % interval": gain.interval[0] if gain and gain.interval else None,
        "p": gain.p if gain else None,
        "Error reduced": row.reduced,
    }


def digits(cell: Cell, ends: tuple[float, float] | None = None) -> int:
    """Return the decimals of a cell's scores; where no smallest difference is given, as for 0.1.

    With an interval's ends, those that tell whether it holds zero.
    """
    return decimals(cell.score.get("smallest") or 0.1, ends, (0.0,))


def gain_digits(row: Row) -> int:
    """Return the decimals of a row's difference to h0."""
    return digits(row.cell, row.difference.interval if row.difference else None)


def _bounds(row: Row) -> tuple[float, float] | None:
    """The interval of a row's mean."""
    return bounded(row.last.interval if row.last else None, row.cell.score)


def _trials(row: Row) -> str:
    n, counts = len(row.cell.complete), row.cell.counts
    states = ("diverged", "failed", "incomplete", "damaged")
    apart = ", ".join(f"{counts[state]} {state}" for state in states if counts[state])
    return (f"{n}" if n == row.planned else f"{n} of {row.planned}") + (f" ({apart})" * bool(apart))
