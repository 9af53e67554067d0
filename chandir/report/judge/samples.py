"""Samples: the planned trials of a claim's arms, from runs that may be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chandir.report.judge.claims import Arm
from chandir.report.read.cells import Cell
from chandir.report.read.runs import Trial
from chandir.report.statistics import Summary, summarise


@dataclass(frozen=True)
class Sample:
    """What was measured of one arm.

    Attributes:
        arm: The arm.
        cell: Its cell.
        values: The claim's number of each complete planned trial, by index.
        planned: How many there should be.
    """

    arm: Arm
    cell: Cell
    values: Mapping[int, float]
    planned: int

    @cached_property
    def summary(self) -> Summary | None:
        """n, mean and deviation; None without values."""
        return summarise(list(self.values.values())) if self.values else None

    @property
    def trials(self) -> list[Trial]:
        """The complete planned trials."""
        return [trial for trial in self.cell.complete if trial.index < self.planned]

    def outside(self, ours: bool = False) -> tuple[str, ...]:
        """What keeps these runs from the protocol, but for how many there are.

        `ours`: of our own question, from which what it asks for is no deviation.
        """
        labels = list(self.cell.labels)
        if ours:
            asked = tuple(f"{key}=" for key, _ in self.arm.where)
            labels = [x for x in labels if "not in the paper" not in x and not x.startswith(asked)]
        scale, source = self.cell.config["scale"]["name"], self.cell.config["data"]["source"]
        if scale != "paper" and not any("scale" in x for x in labels):
            labels.append(f"scale {scale}")
        if source != "real" and not any("data" in x for x in labels):
            labels.append(f"{source} data")
        return tuple(labels)

    @property
    def diverged(self) -> set[int]:
        """The planned trials that diverged."""
        return {trial.index for trial in self.trials if trial.status == "diverged"}

    @property
    def converged(self) -> list[float]:
        """The values without those of diverged trials."""
        return [value for k, value in self.values.items() if k not in self.diverged]


def matching(arm: Arm, cells: Iterable[Cell]) -> list[Cell]:
    """The cells of an arm, whatever their scale and code, but those that measure nothing."""
    return [
        c for c in cells
        if c.measures and all(_equal(c.flat.get(key), value) for key, value in arm.where)
    ]  # fmt: skip


def select(
    arms: Sequence[Arm], trials: int, value: str, cells: Sequence[Cell]
) -> list[Sample | None]:
    """One sample per arm, all under the same circumstances; None for an arm that did not run.

    Circumstances are all that the arms must share: scale, data, code, precision, determinism,
    threads and the task's other settings. Of several, the one that fits the paper's protocol best
    counts: every arm there, no deviation, most trials.

    Args:
        arms: What is compared.
        trials: The planned trials an arm; further ones do not count.
        value: Of which number of a trial, see `Claim`.
        cells: All that ran.
    """
    groups: dict[str, dict[Arm, Cell]] = {}
    for arm in arms:
        for cell in matching(arm, cells):
            group = groups.setdefault(circumstances(cell), {})
            if arm not in group or _planned(cell, trials) > _planned(group[arm], trials):
                group[arm] = cell
    if not groups:
        return [None] * len(arms)

    def fitness(group: Mapping[Arm, Cell]) -> tuple[int, bool, int, int]:
        counts = [_planned(group[arm], trials) if arm in group else 0 for arm in arms]
        clean = not any(cell.labels for cell in group.values())
        return sum(c > 0 for c in counts), clean, min(counts), sum(counts)

    best = max(groups.values(), key=fitness)
    return [_sample(arm, best[arm], trials, value) if arm in best else None for arm in arms]


def circumstances(cell: Cell) -> str:
    """What cells have to share beside what a claim says about them."""
    kept = {
        key: value for key, value in cell.setting.items()
        if key.split(".")[0] != "optimizer" and key not in ("task.batch_size", "data.name")
    }  # fmt: skip
    return json.dumps([kept, cell.origin if cell.complete else None], sort_keys=True)


def _sample(arm: Arm, cell: Cell, trials: int, value: str) -> Sample:
    found = {t.index: _value(t, value) for t in cell.complete if t.index < trials}
    values = {k: number for k, number in sorted(found.items()) if number is not None}
    return Sample(arm, cell, values, trials)


def _planned(cell: Cell, trials: int) -> int:
    return sum(trial.index < trials for trial in cell.complete)


def _value(trial: Trial, name: str) -> float | None:
    """A number of a trial; a diverged one has its score alone."""
    score = str(trial.config["score"]["name"])
    if name == "score":
        return float(trial.final["last"][score])
    if trial.status == "diverged":
        return None
    if name == "gap":
        train = trial.final["last"].get("train_" + score.removeprefix("test_"))
        return None if train is None else float(train) - float(trial.final["last"][score])
    found: Any = trial.correlation
    for key in name.split(".")[1:]:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, (int, float)) else None


def _equal(found: object, value: object) -> bool:
    if isinstance(found, (int, float)) and isinstance(value, (int, float)):
        return math.isclose(found, value)
    return found == value
