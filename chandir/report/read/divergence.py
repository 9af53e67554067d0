"""Diverged trials count, at the worst value: chance accuracy, no IoU, or the worst FID seen.

A task's score may say its ``worst``; of runs older than that, and of scores that do not, it follows
from the unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from chandir.report.read.runs import Trial

RULE = (
    "A diverged trial counts as one at chance: accuracy 100 % / classes, any other score in % at "
    "0; where lower is better (FID) at the worst value that any trial of its task and scale had."
)


def settle(trials: Iterable[Trial]) -> list[Trial]:
    """Give every diverged trial the worst score, at the last and the best epoch.

    What it reached before is of a network that no longer exists. Where lower is better and no
    trial of the task and scale has a finite score there is no worst one: the trial is set aside as
    ``damaged``, with that reason.
    """
    trials = list(trials)
    worst: dict[tuple[str, str], float] = {}
    for trial in trials:
        if trial.complete and trial.config["score"]["better"] == "lower":
            for score in _scores(trial):
                worst[_task(trial)] = max(score, worst.get(_task(trial), -math.inf))
    return [_settle(t, worst) if t.status == "diverged" else t for t in trials]


def _settle(trial: Trial, worst: Mapping[tuple[str, str], float]) -> Trial:
    score = trial.config["score"]
    value = score.get("worst")
    if value is not None:
        pass
    elif score["better"] == "lower":
        value = worst.get(_task(trial))
    else:
        classes = (trial.config["task"].get("shape") or {}).get("classes")
        value = 100 / classes if classes and "accuracy" in score["name"] else 0.0
    if value is None:
        reason = f"diverged, and no {score['name']} of the task is finite to count it at"
        return replace(trial, status="damaged", reason=reason)
    final: dict[str, Any] = dict(trial.final)
    for epoch in ("last", "best"):
        final[epoch] = {**final[epoch], score["name"]: value}
    return replace(trial, final=final)


def _scores(trial: Trial) -> list[float]:
    found = (trial.final[epoch].get(trial.config["score"]["name"]) for epoch in ("last", "best"))
    return [float(x) for x in found if isinstance(x, (int, float)) and math.isfinite(x)]


def _task(trial: Trial) -> tuple[str, str]:
    return str(trial.config["task"]["name"]), str(trial.config["scale"]["name"])
