"""A cell's name and key: the same scientific configuration always finds the same folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from chandir.harness.resolve import Resolved

# What cannot move a number, or is the trial itself. (device: numbers may differ in the last bits
# between devices, but a sweep may continue on another machine; provenance records it.)
NOT_SCIENTIFIC = (
    "trial",
    "paths",
    "device",
    "tracker",
    "artefact",
    "on_error",
    "on_change",
    "checkpoint",
    "labels",
    "notes",
)


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
    plain["scale"] = plain["scale"]["name"]
    return plain


def name(resolved: Resolved) -> str:
    """Readable: ``convnet-sgd-b8-sobolev-output-conv``, and what differs from the defaults."""
    config = resolved.config
    parts = [config.model.name, config.optimizer.name, f"b{config.task.batch_size}"]
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
    return "-".join(parts)


def folder(resolved: Resolved) -> Path:
    """results/runs/<task>/<name>-<key>/trial-<k>."""
    config = resolved.config
    cell = f"{name(resolved)}-{key(resolved)}"
    return Path(config.paths.results) / config.task.name / cell / f"trial-{config.trial}"
