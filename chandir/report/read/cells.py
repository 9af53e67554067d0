"""Cells: trials that may be averaged, since they ran one config, one code and the same data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chandir.report.read.runs import Trial
from chandir.runfolder import origin

# What a setting consists of besides the metric, the code and the data.
_SETTING = (
    *("task", "model", "optimizer", "schedule", "scale", "data", "precision", "determinism"),
    "threads",
)

# What the metrics' files say, for runs older than a configuration that holds it.
BEFORE: Mapping[str, Any] = {
    "direction": "output", "scope": "conv", "lam": 1, "weight": 1, "h0_scale": 1,
}  # fmt: skip

# Where the data lie and whether they were verified moves no number that the checksum would miss.
_UNSCIENTIFIC = ("data.root", "data.verify")


@dataclass(frozen=True)
class Cell:
    """Trials of one cell folder with one code and one data checksum.

    Attributes:
        trials: Every trial, complete or not, by index; at least one has a readable config.
    """

    trials: tuple[Trial, ...]

    @property
    def _first(self) -> Trial:
        readable = (trial for trial in self.trials if trial.config)
        return next(iter(self.complete), None) or next(readable)

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved config, but for what differs between trials."""
        return self._first.config

    @property
    def folder(self) -> Path:
        """The cell's folder."""
        return self._first.folder.parent

    @cached_property
    def flat(self) -> Mapping[str, Any]:
        """The whole config as ``{dotted name: value}``."""
        return dict(_flatten(self.config))

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that count, diverged ones included."""
        return tuple(trial for trial in self.trials if trial.complete)

    @property
    def counts(self) -> Counter[str]:
        """How many trials have each status."""
        return Counter(trial.status for trial in self.trials)

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.config["task"]["name"])

    @property
    def score(self) -> Mapping[str, Any]:
        """The primary score: name, better ("higher" or "lower"), unit, smallest."""
        return self.config["score"]

    @property
    def labels(self) -> tuple[str, ...]:
        """How the runs deviate from the paper."""
        return tuple(str(label) for label in self.config.get("labels") or ())

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen where the paper is silent."""
        return tuple(str(note) for note in self.config.get("notes") or ())

    @property
    def baseline(self) -> bool:
        """Whether this is the plain gradient, to which a trial's canonical form gives this name."""
        return bool(self.config["metric"]["name"] == "h0")

    @property
    def usual(self) -> Mapping[str, Any]:
        """The metric's settings as its file has them."""
        return (self.config.get("stated") or {}).get("metric") or BEFORE

    @property
    def measures(self) -> bool:
        """Whether its numbers are of real data, at a scale that is meant to measure something.

        A smoke run shows that the program runs; synthetic data that it runs without the real ones.
        """
        source, scale = self.config["data"]["source"], self.config["scale"]["name"]
        return bool(source != "synthetic" and scale != "smoke")

    @cached_property
    def setting(self) -> Mapping[str, Any]:
        """What the config has to share for a comparison, as ``{dotted name: value}``."""
        return {
            name: value for name, value in self.flat.items()
            if name.split(".")[0] in _SETTING and name not in _UNSCIENTIFIC
        }  # fmt: skip

    @property
    def origin(self) -> Mapping[str, str]:
        """What the run has to share besides: short digests of the code and the data."""
        return {"code": self._first.code[:7], "checksum": self._first.checksum[:7]}

    @property
    def codes(self) -> list[Mapping[str, str]]:
        """The sources that ran it, by file; several if it was continued with other ones."""
        return origin.codes(self._first.provenance)

    def scores(self, epoch: str = "last") -> list[float]:
        """The primary score of each complete trial, at the "last" or the "best" epoch."""
        return [float(trial.final[epoch][self.score["name"]]) for trial in self.complete]


def cells(trials: Iterable[Trial]) -> list[Cell]:
    """Group trials into cells; a folder that holds two codes or two data sets becomes two cells.

    Only complete trials can tell them apart; the others count in the folder's largest cell, so
    that no trial vanishes. A folder without one readable config makes no cell.
    """
    folders: dict[Path, list[Trial]] = {}
    for trial in trials:
        folders.setdefault(trial.folder.parent, []).append(trial)
    found = []
    for folder in folders.values():
        groups: dict[str, list[Trial]] = {}
        for trial in folder:
            if trial.complete:
                alone = Cell((trial,))
                identity = (alone.setting, alone.origin, trial.config["metric"], alone.labels)
                groups.setdefault(json.dumps(identity, sort_keys=True), []).append(trial)
        rest = [trial for trial in folder if not trial.complete]
        if groups:
            max(groups.values(), key=len).extend(rest)
        elif any(trial.config for trial in rest):
            groups[""] = rest
        found += [Cell(tuple(sorted(group, key=lambda t: t.index))) for group in groups.values()]
    return found


def _flatten(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
