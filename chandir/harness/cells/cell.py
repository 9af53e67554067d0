"""A cell's name and key: the same scientific configuration always finds the same folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chandir.harness.cells.resolve import Resolved
from chandir.harness.cells.table import in_file, schedule_set, table_row, usual_schedule
from chandir.harness.config.schema import Config, Part

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
FORMER: dict[str, dict[str, str | None]] = {
    "metric": {
        "chandir.harness.parts.controls.MeanMatched": "chandir.H0",
        "chandir.harness.parts.controls.NormMatched": "chandir.Sobolev",
    },
    "optimizer": dict.fromkeys(
        ("torch.optim.SGD", "torch.optim.Adam", "chandir.harness.parts.optimizers.LS")
    ),
    "schedule": dict.fromkeys(
        f"chandir.harness.parts.schedules.{name}" for name in ("Step", "Cosine", "Constant")
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
    task, row = config.task, table_row(config)[0]
    parts = [
        *([config.data.name] if config.data.name is not None else []),
        *(_network(config), config.optimizer.name, *_axes(config.optimizer)),
        *(f"b{task.batch_size}", config.metric.name, *_axes(config.metric)),
        *_changed(_others(config.metric), in_file(config, "metric"), {}),
        *([config.scale.name] if config.scale.name != "paper" else []),
        *([config.schedule.name] if config.schedule.name != usual_schedule(task) else []),
    ]
    task_settings = {"epochs": task.epochs, "evaluate_every": task.evaluate_every}
    task_settings |= task.model_extra or {}
    scaled = task.scales.get(config.scale.name, {})
    filled = {"epochs": row.epochs, "evaluate_every": 1} | scaled
    network = {k: v for k, v in (config.model.model_extra or {}).items() if k != "arch"}
    parts += [
        *_changed(task_settings, in_file(config, "task"), filled),
        *_changed({key: value for key, value, _ in schedule_set(config, row)}, {}, {}),
        *_changed(network, in_file(config, "model"), scaled.get("model", {})),
        *_changed(_others(config.optimizer), in_file(config, "optimizer"), row.model_dump()),
        *([config.precision] if config.precision != "fp32" else []),
        *([config.data.source] if config.data.source != "real" else []),
    ]
    return "-".join(parts)[:LONGEST]


def _network(config: Config) -> str:
    """``resnet56``; with the name that a network has elsewhere: ``torchvision-vit_b_16``."""
    arch = (config.model.model_extra or {}).get("arch")
    return config.model.name if arch is None else f"{config.model.name}-{_plain(str(arch))}"


def _plain(text: str) -> str:
    """What a file's name may hold of it."""
    return re.sub(r"[^\w.+]+", "_", text, flags=re.ASCII)[:24].strip("_")


def _axes(part: Part) -> list[str]:
    """Along what a metric or LS acts, and where: always told."""
    values = [part.settings.get(key) for key in ("direction", "scope")]
    return [str(value) for value in values if value is not None]


def _others(part: Part) -> dict[str, Any]:
    return {key: value for key, value in part.settings.items() if key not in ("direction", "scope")}


def _changed(
    settings: Mapping[str, Any], stated: Mapping[str, Any], filled: Mapping[str, Any]
) -> Iterator[str]:
    """What a user set, as ``lr0.2``.

    Args:
        settings: as they are.
        stated: in their file.
        filled: where the file has null, what fills it in.
    """
    for key, value in settings.items():
        usual = filled.get(key) if stated.get(key) is None else stated[key]
        if value != usual:
            text = f"{value:g}" if isinstance(value, float) else Path(str(value)).name
            yield _plain(f"{key}{text}".lower())


def home(resolved: Resolved) -> Path:
    """results/runs/<task>/<name>-<key>, which holds the cell's trials.

    The key alone tells cells apart: a folder that has it is the cell's, whatever its name, for
    names change as they get better to read.
    """
    config, own = resolved.config, key(resolved)
    folder = Path(config.paths.results) / config.task.name
    named = folder / f"{name(resolved)}-{own}"
    return named if named.is_dir() else next(iter(sorted(folder.glob(f"*-{own}"))), named)


def of_trial(home: Path, trial: int) -> Path:
    """<home>/trial-<k>."""
    return home / f"trial-{trial}"
