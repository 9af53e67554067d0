"""A cell's name and key: the same scientific configuration always finds the same folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chandir.harness.resolve import Resolved, in_file, schedule_set, table_row, usual_schedule
from chandir.harness.schema import Config, Row

# What cannot move a number, or is the trial itself. (device: numbers may differ in the last bits
# between devices, but a sweep may continue on another machine; provenance records it. graphs: a
# replayed step is held to the plain one, see `graph`.)
NOT_SCIENTIFIC = (
    "trial",
    "paths",
    "device",
    "graphs",
    "tracker",
    "artefact",
    "on_error",
    "on_change",
    "checkpoint",
    "stated",
    "labels",
    "notes",
)
# What stands in a class's place in runs older than the open sets of parts, whose keys stay.
FORMER = {
    "metric": {
        "chandir.harness.controls.MeanMatched": "chandir.H0",
        "chandir.harness.controls.NormMatched": "chandir.Sobolev",
    },
    "optimizer": dict.fromkeys(
        ("torch.optim.SGD", "torch.optim.Adam", "chandir.harness.optimizers.LS")
    ),
    "schedule": dict.fromkeys(
        f"chandir.harness.schedules.{name}" for name in ("Step", "Cosine", "Constant")
    ),
}
LONGEST = 160  # characters of a name, well below what file systems take


def key(resolved: Resolved) -> str:
    """Ten hexadecimal digits of the SHA-256 of the scientific configuration."""
    plain = scientific(resolved)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def scientific(resolved: Resolved) -> dict[str, Any]:
    """The part of the configuration that numbers depend on."""
    plain = resolved.plain()
    for name in NOT_SCIENTIFIC:
        del plain[name]
    del plain["data"]["root"]
    plain["data"]["verify"] = True  # moves no number that the data's own checksum would miss
    for setting, before in (("channels_last", False), ("evaluate_every", 1)):
        if plain["task"].get(setting) == before:
            del plain["task"][setting]  # as in runs older than the setting
    plain["scale"] = plain["scale"]["name"]
    for group, former in FORMER.items():
        target = plain[group]["_target_"]
        if target in former:
            plain[group]["_target_"] = former[target]
    for group in ("optimizer", "schedule"):
        if plain[group]["_target_"] is None:
            del plain[group]["_target_"]
    if "_target_" not in plain["schedule"]:
        plain["task"]["schedule"] = plain.pop("schedule")  # where it was
    return plain


def name(resolved: Resolved) -> str:
    """Readable: ``convnet-sgd-b8-sobolev-output-conv``, and what differs from the defaults."""
    config = resolved.config
    parts = [config.model.name, config.optimizer.name]
    for part in (config.optimizer, config.metric):
        if part is config.metric:
            parts += [f"b{config.task.batch_size}", part.name]
        shown = [part.settings.get(key) for key in ("direction", "scope")]
        parts += [str(value) for value in shown if value is not None]
    if config.data.name is not None:
        parts.insert(0, config.data.name)
    if config.scale.name != "paper":
        parts.append(config.scale.name)
    parts += [
        re.sub(r"[^\w.+]+", "_", part, flags=re.ASCII)[:24].strip("_") for part in _changed(config)
    ]
    return "-".join(parts)[:LONGEST]


def _changed(config: Config) -> Iterator[str]:
    """What else a user set: ``lr0.2``, ``epochs3``, ``synthetic``."""
    task, row = config.task, table_row(config)[0]
    assert task.epochs is not None
    extra = {"epochs": task.epochs, "evaluate_every": task.evaluate_every}
    extra |= task.model_extra or {}
    shown = ("direction", "scope")
    metric, optimizer = (
        {key: value for key, value in part.settings.items() if key not in shown}
        for part in (config.metric, config.optimizer)
    )
    scaled = task.scales.get(config.scale.name, {})
    # Set; in the file; where that is null, what fills it in.
    if config.schedule.name != usual_schedule(task):
        yield config.schedule.name
    for settings, stated, filled in (
        (extra, in_file(config, "task"), {"epochs": row.epochs, "evaluate_every": 1} | scaled),
        (dict(_schedule(config, row)), {}, {}),
        (metric, in_file(config, "metric"), {}),
        (config.model.model_extra or {}, in_file(config, "model"), scaled.get("model", {})),
        (optimizer, in_file(config, "optimizer"), row.model_dump()),
    ):
        for key, value in settings.items():
            usual = filled.get(key) if stated.get(key) is None else stated[key]
            if value != usual:
                text = f"{value:g}" if isinstance(value, float) else Path(str(value)).name
                yield f"{key}{text}".lower()
    if config.precision != "fp32":
        yield config.precision
    if config.data.source != "real":
        yield config.data.source


def _schedule(config: Config, row: Row) -> Iterator[tuple[str, Any]]:
    for setting, value, _ in schedule_set(config, row):
        yield setting, value


def home(resolved: Resolved) -> Path:
    """results/runs/<task>/<name>-<key>, which holds the cell's trials.

    The key alone tells cells apart: a folder that has it is the cell's, whatever its name, for names
    change as they get better to read.
    """
    config, own = resolved.config, key(resolved)
    folder = Path(config.paths.results) / config.task.name
    named = folder / f"{name(resolved)}-{own}"
    return named if named.is_dir() else next(iter(sorted(folder.glob(f"*-{own}"))), named)


def of_trial(home: Path, trial: int) -> Path:
    """<home>/trial-<k>."""
    return home / f"trial-{trial}"
