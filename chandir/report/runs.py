"""Run folders as records: one `Trial` per ``trial-<k>`` folder, whatever state it is in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

# libyaml reads a thousand configs in a second, the pure Python loader in ten.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_REQUIRED = {
    "task.name": str, "task.batch_size": int, "task.epochs": int, "model.name": str,
    "optimizer.name": str, "metric.name": str, "scale.name": str, "data.source": str,
    "score.name": str, "score.better": str, "trial": int,
}  # fmt: skip

_COMPLETE = ("done", "diverged")


@dataclass(frozen=True)
class Trial:
    """One seed of one cell, as its folder tells it.

    Attributes:
        folder: The trial's folder.
        status: ``done`` and ``diverged`` are complete and count; ``failed`` left a traceback,
            ``incomplete`` has no ``final.json`` yet, ``damaged`` cannot be trusted.
        reason: Why the trial does not count; empty if it does.
        config: The resolved config; empty if it or the provenance is what is damaged.
        provenance: What ran: commit, sources, versions, device, data checksum; empty likewise.
        log: One mapping per epoch; empty unless the trial is complete.
        final: Scores at the last and the best epoch, totals; empty unless the trial is complete.
    """

    folder: Path
    status: str
    reason: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[Mapping[str, float], ...] = ()
    final: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the trial's scores count."""
        return self.status in _COMPLETE

    @property
    def index(self) -> int:
        """The seed index k of ``trial-<k>``."""
        return int(self.folder.name.removeprefix("trial-"))

    @cached_property
    def code(self) -> str:
        """A digest of the sources that affect numbers; equal digests ran equal code.

        A trial that was continued with other sources (``on_change=continue``) has one of its own.
        """
        segments = self.provenance.get("segments") or []
        ran = [each["sources"] for each in segments if "sources" in each]
        texts = [json.dumps(each, sort_keys=True) for each in ran or [self.provenance["sources"]]]
        return sha256("\n".join(dict.fromkeys(texts)).encode()).hexdigest()

    @cached_property
    def machines(self) -> list[str]:
        """What its last digits depend on beside the code, each kind of machine once.

        Several of a trial that was continued elsewhere; none of one older than the record of it.
        """
        ran = self.provenance.get("segments") or [self.provenance]
        return list(dict.fromkeys(str(each["machine"]) for each in ran if each.get("machine")))

    @cached_property
    def correlation(self) -> Mapping[str, Any]:
        """What ``correlation.json`` holds; empty where it is missing or damaged."""
        try:
            found = json.loads(_text(self.folder / "correlation.json"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def pictures(self) -> list[Path]:
        """The pictures that the task left: samples of a generator, predicted masks."""
        return sorted(self.folder.glob("*.png"))

    @property
    def checksum(self) -> str:
        """The sha256 of the data as used."""
        return str(self.provenance["data"].get("checksum") or "")


def read(runs: Path | str) -> list[Trial]:
    """Read every ``trial-<k>`` folder below `runs`, in a stable order.

    A damaged, failed or incomplete folder is a `Trial` with a reason, never an exception.

    Args:
        runs: A results folder, or any folder between it and a trial.

    Raises:
        ValueError: If `runs` is not a folder.
    """
    runs = Path(runs)
    if not runs.is_dir():
        raise ValueError(
            f"{runs} is not a folder: expected the folder that paths.results names, "
            "results/runs by default; `python run.py` makes the first one"
        )
    folders = [path for path in runs.rglob("trial-*") if re.fullmatch(r"trial-\d+", path.name)]
    folders = [path for path in folders if path.is_dir()]
    return [_read(path) for path in sorted(folders, key=lambda p: (p.parent, len(p.name), p.name))]


def _read(folder: Path) -> Trial:
    try:
        config = _config(folder)
        provenance = _mapping(json.loads(_text(folder / "provenance.json")), "provenance.json")
        for key in ("sources", "versions", "device", "data"):
            _mapping(provenance.get(key), f"provenance.json: {key}")
    except (OSError, ValueError) as error:
        return Trial(folder, "damaged", _brief(error))
    try:
        if not (folder / "final.json").exists():
            return Trial(folder, *_unfinished(folder, config), config, provenance)
        final = _final(folder, config)
        log = _log(folder)
    except (OSError, ValueError) as error:
        return Trial(folder, "damaged", _brief(error), config)
    return Trial(folder, final["status"], "", config, provenance, log, final)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = _mapping(yaml.load(_text(folder / "config.yaml"), _LOADER), "config.yaml")
    except yaml.YAMLError as error:
        raise ValueError(f"config.yaml is not YAML: {_brief(error)}") from error
    for name, kind in _REQUIRED.items():
        value: Any = config
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise ValueError(f"config.yaml has {name} {value!r}, expected {kind.__name__}")
    for key in ("lam", "weight", "h0_scale"):
        if not isinstance(config["metric"].get(key, 1), (int, float)):
            raise ValueError(f"config.yaml has metric.{key} {config['metric'][key]!r}")
    if folder.name != f"trial-{config['trial']}":
        raise ValueError(f"config.yaml is that of trial {config['trial']}")
    return config


def _final(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    final = _mapping(json.loads(_text(folder / "final.json")), "final.json")
    if final.get("status") not in _COMPLETE:
        raise ValueError(f"final.json has status {final.get('status')!r}, not done or diverged")
    if final.get("trial") != config["trial"]:
        raise ValueError(f"final.json is that of trial {final.get('trial')}")
    for epoch in ("last", "best"):
        score = _mapping(final.get(epoch), f"final.json: {epoch}").get(config["score"]["name"])
        if final["status"] == "diverged" and score is None:
            continue  # it counts at the worst value, see failures.py
        if not isinstance(score, (int, float)) or not math.isfinite(score):
            raise ValueError(f"final.json: {config['score']['name']} at the {epoch} epoch: {score}")
    return final


def _log(folder: Path) -> tuple[Mapping[str, float], ...]:
    lines = _text(folder / "log.jsonl").split("\n")
    try:  # one call for the whole file: a sweep has a hundred thousand epochs
        epochs = json.loads("[" + ",".join(line for line in lines if line.strip()) + "]")
    except ValueError as error:
        raise ValueError(f"log.jsonl: {error}") from error
    if not all(isinstance(epoch, dict) and "epoch" in epoch for epoch in epochs):
        raise ValueError("log.jsonl has a line without an epoch")
    return tuple(epochs)


def _unfinished(folder: Path, config: Mapping[str, Any]) -> tuple[str, str]:
    error = folder / "error.txt"
    if error.exists():
        lines = [line for line in _text(error).splitlines() if line.strip()]
        return "failed", lines[-1].strip() if lines else "error.txt is empty"
    log = folder / "log.jsonl"
    epochs = _text(log).count("\n") if log.exists() else 0
    return "incomplete", f"{epochs} of {config['task']['epochs']} epochs"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a mapping")
    return value


def _brief(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{Path(error.filename).name} is missing"
    return " ".join(str(error).split()) or type(error).__name__
