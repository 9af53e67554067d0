"""What tells the cells of a sweep apart: columns of a table, and short names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chandir.harness.cells import cell
from chandir.harness.command.options import flatten
from chandir.harness.config.wording import as_typed
from chandir.harness.sweep.plan import Job
from chandir.harness.sweep.tally import like
from chandir.harness.tracking.standing import Planned

# What people name a cell by, first of all; the title of its column, and the word in a short name.
NAMED = {
    "task.name": ("task", "{}"),
    "data.name": ("data", "{}"),
    "model.name": ("network", "{}"),
    "model.arch": ("arch", "{}"),
    "optimizer.name": ("optimizer", "{}"),
    "task.batch_size": ("batch", "b{}"),
    "metric.name": ("metric", "{}"),
    "metric.direction": ("direction", "{}"),
    "metric.scope": ("scope", "{}"),
}
COMMON = ("task.name", "data.name", "model.name", "model.arch", "optimizer.name",
          "task.batch_size", "metric.name")  # fmt: skip


class Differences:
    """The cells of some trials, by the folders that hold these.

    Args:
        jobs: the trials.

    Attributes:
        keys: settings that tell the cells apart, as few as do.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.cells: dict[Path, dict[str, Any]] = {}
        for job in jobs:
            if job.folder.parent not in self.cells:
                settings = flatten(cell.scientific(job.resolved))
                leaves = {key: value for key, value in settings if not isinstance(value, dict)}
                self.cells[job.folder.parent] = leaves
        self.keys = _apart(list(self.cells.values()))

    @property
    def titles(self) -> list[str]:
        """Of the columns."""
        leaves = [key.rpartition(".")[2] for key in self.keys]
        return [
            NAMED[key][0] if key in NAMED else leaf if leaves.count(leaf) == 1 else key
            for key, leaf in zip(self.keys, leaves, strict=True)
        ]

    def values(self, home: Path) -> list[str]:
        """A cell's, under the titles; empty where it has no such setting."""
        return [_text(self.cells[home].get(key)) for key in self.keys]

    def name(self, home: Path) -> str:
        """A cell's, short: ``mnist h0_lambda lam=5``; of a single one, its metric."""
        words = []
        for key, title, text in zip(self.keys, self.titles, self.values(home), strict=True):
            if text:
                words.append(NAMED[key][1].format(text) if key in NAMED else f"{title}={text}")
        return " ".join(words) or _text(self.cells[home].get("metric.name"))

    def common(self) -> str:
        """What all cells share of what people name one by: ``digits, convnet, sgd, batch 8``."""
        first, *_ = self.cells.values()
        shared = [key for key in COMMON if key not in self.keys and first.get(key) is not None]
        shared = [
            key for key in shared if len({_text(c.get(key)) for c in self.cells.values()}) < 2
        ]
        words = [(NAMED[key][0], _text(first[key])) for key in shared]
        return ", ".join(f"batch {text}" if title == "batch" else text for title, text in words)

    def planned(self, jobs: Sequence[Job]) -> list[Planned]:
        """Trials by their short names, for a display."""
        return [
            Planned(
                job.folder,
                f"{self.name(job.folder.parent)}, trial {job.trial}",
                job.resolved.config.task.epochs or 1,
                like(job.resolved),
            )
            for job in jobs
        ]


def _apart(cells: list[dict[str, Any]]) -> list[str]:
    """Settings in the order in which people think of them, each of which tells more cells apart."""
    every = list(dict.fromkeys(key for each in cells for key in each))
    targets = [key for key in every if key.endswith("_target_")]  # a class shows in its name
    named = [key for key in every if key not in targets]
    metrics = [key for key in named if key.startswith("metric.")]
    ordered = dict.fromkeys([*NAMED, *metrics, *named, *targets])
    chosen: list[str] = []
    groups: list[tuple[str, ...]] = [()] * len(cells)
    for key in ordered:
        finer = [
            (*group, json.dumps(each.get(key), sort_keys=True, default=str))
            for group, each in zip(groups, cells, strict=True)
        ]
        if len(set(finer)) > len(set(groups)):
            chosen.append(key)
            groups = finer
    return chosen


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return as_typed(value)
