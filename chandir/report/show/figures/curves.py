"""Scores over epochs, on the training and the test set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from chandir.report.read.runs import Trial
from chandir.report.show import words
from chandir.report.show.figures.scores import footer
from chandir.report.show.figures.style import Drawing, figure, legend, looks, save, twice
from chandir.report.show.rows import Row

_MOST = 7


@dataclass(frozen=True)
class Curve:
    """One line: a name and the trials behind it, at least one."""

    name: str
    trials: Sequence[Trial]


@twice
def draw(
    panels: Mapping[str, Sequence[Curve]], folder: Path, name: str, title: str, caption: str,
    foot: str,
) -> Drawing:  # fmt: skip
    """Draw the mean over trials, with its 95 % t-interval as a band: a row of two per setting.

    Args:
        panels: The curves of each setting, by its title.
        folder: Where the files go.
        name: The files' name.
        title: What the figure is called.
        caption: What it shows; how to read it is added.
        foot: Printed below it, see `scores.footer`.
    """
    every = [curve for curves in panels.values() for curve in curves]
    spec = every[0].trials[0].config["score"]
    scores = [f"train_{spec['name'].removeprefix('test_')}", str(spec["name"])]
    logs = [trial.log for curve in every for trial in curve.trials]
    scores = _logged(scores, logs)
    fig, axes = figure(6.4, 0.5 + 2.4 * len(panels), len(panels), len(scores), sharey="row")
    palette = looks([curve.name for curve in every])
    for line, (setting, curves) in zip(axes, panels.items(), strict=True):
        for axis, score in zip(line, scores, strict=True):
            for j, curve in enumerate(curves):
                epochs, mean, half = band(curve.trials, score)
                look = palette[curve.name]
                places = (np.arange(6) + (j + 0.5) / len(curves)) / 6  # no marker hides another
                spots = sorted(set((places * len(epochs)).astype(int).tolist()))
                axis.fill_between(
                    epochs, mean - half, mean + half, color=look.colour, alpha=0.18, lw=0
                )
                axis.plot(
                    epochs, mean, color=look.colour, marker=look.marker, markevery=spots,
                    label=curve.name,
                )  # fmt: skip
            own = words.score(score)
            axis.set_title(f"{own}, {setting}" if len(panels) > 1 else own)
            axis.xaxis.get_major_locator().set_params(integer=True)
        line[0].set_ylim(*_range(curves, scores))
        loss = scores[0].startswith("train_loss")
        line[0].set_ylabel("loss" if loss else spec.get("unit") or words.score(spec["name"]))
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    legend(fig)
    return save(fig, folder, name, title, f"{caption} {_reading(every)}", foot)


def of_rows(rows: Sequence[Row], folder: Path, name: str) -> Drawing:
    """Draw the cells of one setting, at least one of them with a complete trial."""
    rows = [row for row in rows if row.cell.complete]
    shown = rows if len(rows) <= _MOST else [row for row in rows if _plain(row)][:_MOST] or rows[:1]
    caption = f"{rows[0].setting.title}."
    if len(shown) < len(rows):
        caption += f" {len(rows) - len(shown)} other cells of this setting are not drawn."
    panels = {rows[0].setting.title: [Curve(row.metric, row.cell.complete) for row in shown]}
    title = f"{rows[0].cell.task}: scores over epochs"
    return draw(panels, folder, name, title, caption, footer([row.cell for row in shown]))


def band(trials: Sequence[Trial], score: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return epochs, the mean over trials and the half width of its 95 % t-interval, all (epochs,).

    A trial counts at the epochs that it has; epochs after which none was scored are left out.
    """
    logs: list[dict[Any, Any]] = [
        {e["epoch"]: e[score] for e in t.log if e.get(score) is not None} for t in trials
    ]
    epochs = sorted(set().union(*logs))
    values = np.array([[log.get(epoch) for epoch in epochs] for log in logs], float)
    return np.array(epochs), *mean_and_half(values)


def mean_and_half(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each column and the half width of its 95 % t-interval.

    What is not finite does not count; one value alone has half width 0.
    """
    from scipy import stats

    values = np.where(np.isfinite(values), values, math.nan)
    n = np.sum(~np.isnan(values), axis=0)
    mean = np.full(values.shape[1], math.nan)
    np.divide(np.nansum(values, axis=0), n, out=mean, where=n > 0)
    squares = np.nansum((values - mean) ** 2, axis=0)
    free = np.maximum(n - 1, 1)
    quantiles = {m: stats.t.ppf(0.975, m) for m in set(free.tolist())}
    t = np.array([quantiles[m] for m in free.tolist()])
    half = t * np.sqrt(squares / free / np.maximum(n, 1))
    return mean, np.where(n > 1, half, 0)


def _logged(scores: Sequence[str], logs: Sequence[Sequence[Mapping[str, float]]]) -> list[str]:
    """Return the scores that make a curve; else, as where only the end is scored, the losses."""

    def often(key: str) -> bool:
        for log in filter(None, logs):
            enough = min(2, len(log))  # asks no more of a hundred thousand epochs than tell
            if len([*islice((e for e in log if e.get(key) is not None), enough)]) == enough:
                return True
        return False

    if found := [score for score in scores if often(score)]:
        return found
    names = set().union(*(epoch for log in logs for epoch in log))
    return sorted(key for key in names if key.startswith("train_loss") and often(key))


def _range(curves: Sequence[Curve], scores: Sequence[str]) -> tuple[float, float]:
    """Return the range of the trials themselves, without the first quarter of the epochs.

    A band may leave it (a t-interval knows no 100 %), and so may the steep start.
    """
    logs = [trial.log for curve in curves for trial in curve.trials]
    values = [e[score] for log in logs for e in log[len(log) // 4 :] for score in scores
              if e.get(score) is not None]  # fmt: skip
    low, high = (min(values), max(values)) if values else (0, 1)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _reading(curves: Sequence[Curve]) -> str:
    text = "Mean over trials, band: 95 % t-interval."
    trials = [trial for curve in curves for trial in curve.trials]
    if max(len(trial.log) for trial in trials) >= 4:
        text += " The first quarter of the epochs may lie outside the range."
    if any(trial.status == "diverged" for trial in trials):
        text += " A diverged trial counts up to where it diverged."
    return text


def _plain(row: Row) -> bool:
    """Whether the metric has its file's own numbers, which are the paper's."""
    metric = row.cell.config["metric"]
    varied = ("direction", "scope")
    return row.cell.baseline or all(
        metric.get(key) == value
        for key, value in row.cell.usual.items() if key in metric and key not in varied
    )  # fmt: skip
