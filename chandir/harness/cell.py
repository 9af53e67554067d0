"""A cell's name and key: the same scientific configuration always finds the same folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chandir.harness.resolve import Resolved, every, in_file, table_row
from chandir.harness.schema import Config

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
    "labels",
    "notes",
)
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
    return plain


def name(resolved: Resolved) -> str:
    """Readable: ``convnet-sgd-b8-sobolev-output-conv``, and what differs from the defaults."""
    config = resolved.config
    parts = [_network(config), config.optimizer.name, f"b{config.task.batch_size}"]
    metric = config.metric.model_dump()
    parts.append(metric["name"])
    if metric["name"] != "h0":
        parts += [metric[key] for key in ("direction", "scope") if key in metric]
        parts += [
            f"{short}{metric[key]:g}"
            for key, short in (("lam", "lam"), ("weight", "w"), ("h0_scale", "h"))
            if metric.get(key, 1.0) != 1.0
        ]
    if config.optimizer.name == "LS":
        optimizer = config.optimizer.model_dump()
        parts += ["ls", optimizer["direction"], optimizer["scope"], f"sigma{optimizer['sigma']:g}"]
    if config.data.name is not None:
        parts.insert(0, config.data.name)
    if config.scale.name != "paper":
        parts.append(config.scale.name)
    parts += [_plain(part) for part in _changed(config)]
    return "-".join(parts)[:LONGEST]


def _network(config: Config) -> str:
    """``resnet56``; with the name that a network has elsewhere: ``torchvision-vit_b_16``."""
    arch = (config.model.model_extra or {}).get("arch")
    return config.model.name if arch is None else f"{config.model.name}-{_plain(str(arch))}"


def _plain(text: str) -> str:
    """What a file's name may hold of it."""
    return re.sub(r"[^\w.+]+", "_", text, flags=re.ASCII)[:24].strip("_")


def _changed(config: Config) -> Iterator[str]:
    """What else a user set: ``lr0.2``, ``epochs3``, ``synthetic``."""
    task, row = config.task, table_row(config)[0]
    assert task.epochs is not None
    extra = {"epochs": task.epochs, "evaluate_every": task.evaluate_every}
    extra |= task.model_extra or {}
    optimizer = config.optimizer.model_dump(exclude={"direction", "scope", "sigma"})
    scaled = task.scales.get(config.scale.name, {})
    # Set; in the file; where that is null, what fills it in.
    for settings, stated, filled in (
        (extra, in_file(config, "task"), {"epochs": row.epochs, "evaluate_every": 1} | scaled),
        (
            task.schedule.model_dump(),
            in_file(config, "task")["schedule"],
            {"every": every(row, task.epochs)},
        ),
        (config.model.model_extra or {}, in_file(config, "model"), scaled.get("model", {})),
        (optimizer, in_file(config, "optimizer"), row.model_dump()),
    ):
        for key, value in settings.items():
            usual = filled.get(key) if stated.get(key) is None else stated[key]
            if value != usual and key != "arch":  # it is in the network's name
                text = f"{value:g}" if isinstance(value, float) else Path(str(value)).name
                yield f"{key}{text}".lower()
    if config.precision != "fp32":
        yield config.precision
    if config.data.source != "real":
        yield config.data.source


def home(resolved: Resolved) -> Path:
    """results/runs/<task>/<name>-<key>, which holds the cell's trials."""
    config = resolved.config
    return Path(config.paths.results) / config.task.name / f"{name(resolved)}-{key(resolved)}"


def of_trial(home: Path, trial: int) -> Path:
    """<home>/trial-<k>."""
    return home / f"trial-{trial}"
