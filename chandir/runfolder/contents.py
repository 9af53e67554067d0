"""A run folder as a whole: what state it is in, and what it holds if that can be trusted.

``complete`` has one definition, this one: `final.json` is there, says done or diverged, and every
file of the folder is whole and agrees with the others. A complete trial counts and is not run
again; a damaged one is run again and does not count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from chandir.runfolder import shapes
from chandir.runfolder.log import rows, whole
from chandir.runfolder.reading import (
    Damaged,
    Missing,
    json_mapping,
    last_line,
    parse_yaml,
    text,
)
from chandir.runfolder.shapes import check

COMPLETE = ("done", "diverged")
_TRIAL = re.compile(r"^trial: (0|[1-9][0-9]{0,8})$", re.MULTILINE)


@dataclass(frozen=True)
class Contents:
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
        correlation: What ``correlation.json`` holds; empty where there is none.
    """

    folder: Path
    status: str
    reason: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[Mapping[str, Any], ...] = ()
    final: Mapping[str, Any] = field(default_factory=dict)
    correlation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the trial's scores count."""
        return self.status in COMPLETE


def read(folder: Path) -> Contents:
    """Everything that a run folder holds; never raises."""
    begun = os.path.lexists(folder / "final.json")
    try:
        config = read_config(folder)
        provenance = read_provenance(folder)
    except Damaged as damage:
        if begun:
            return Contents(folder, "damaged", str(damage))
        if os.path.lexists(folder / "error.txt"):  # it failed before it could say what it was
            return Contents(folder, "failed", error(folder))
        if isinstance(damage, Missing) and not os.path.lexists(folder / "log.jsonl"):
            return Contents(folder, "incomplete", "not begun")
        return Contents(folder, "damaged", str(damage))
    if not begun:
        return Contents(folder, *_unfinished(folder, config), config, provenance)
    try:
        final = read_final(folder, config)
        log = whole(folder / "log.jsonl")
        _agree(log, final, config)
        correlation = read_correlation(folder)
    except Damaged as damage:
        return Contents(folder, "damaged", str(damage), config, provenance)
    return Contents(folder, final["status"], "", config, provenance, log, final, correlation)


def read_config(folder: Path) -> Mapping[str, Any]:
    """``config.yaml``.

    Raises:
        Damaged: if it is missing, no config, or that of another trial.
    """
    source = text(folder / "config.yaml")
    trials = _TRIAL.findall(source)
    config: Mapping[str, Any]
    if len(trials) == 1:  # the configs of a cell differ in it alone: one is parsed for all
        config = {**_config(_TRIAL.sub("trial: 0", source)), "trial": int(trials[0])}
    else:
        config = _config(source)
    if folder.name != f"trial-{config['trial']}":
        raise Damaged(f"config.yaml is that of trial {config['trial']}")
    return config


@lru_cache(maxsize=64)
def _config(source: str) -> Mapping[str, Any]:
    config = parse_yaml(source, "config.yaml")
    check(config, shapes.CONFIG, "config.yaml")
    return config


def read_provenance(folder: Path) -> dict[str, Any]:
    """``provenance.json``.

    Raises:
        Damaged: if it is missing or does not say what ran.
    """
    provenance = json_mapping(folder / "provenance.json")
    check(provenance, shapes.PROVENANCE, "provenance.json")
    for segment in provenance.get("segments") or ():
        check(segment, shapes.SEGMENT, "provenance.json: a segment")
    return provenance


def read_final(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """``final.json``, held to the config.

    Raises:
        Damaged: if it is missing, another trial's, or without the scores that it is there for.
    """
    final = json_mapping(folder / "final.json")
    check(final, shapes.FINAL, "final.json")
    if final["trial"] != config["trial"]:
        raise Damaged(f"final.json is that of trial {final['trial']}")
    name, other = config["score"]["name"], final["score"]["name"]
    if name != other:
        raise Damaged(f"final.json has the score {other}, config.yaml {name}")
    for epoch in ("last", "best"):
        for key, value in final[epoch].items():
            if value is not None and not shapes.number(value):
                raise Damaged(f"final.json has {epoch}.{key}={value!r:.60}, expected a number")
        value = final[epoch].get(name)
        # A diverged trial counts at the worst value, see report/read/divergence.py.
        if not shapes.score(value) and not (final["status"] == "diverged" and value is None):
            raise Damaged(f"final.json has no finite {name} at the {epoch} epoch: {value!r:.60}")
    return final


def _agree(
    log: Sequence[Mapping[str, Any]], final: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Hold the log to the result.

    Raises:
        Damaged: naming where they differ.
    """
    epochs = final["totals"]["epochs"]
    if len(log) != epochs:
        raise Damaged(f"log.jsonl has {len(log)} epochs, final.json {epochs}")
    if epochs > config["task"]["epochs"] or (
        final["status"] == "done" and epochs < config["task"]["epochs"]
    ):
        raise Damaged(f"final.json has {epochs} epochs, config.yaml {config['task']['epochs']}")
    if final["last"]["epoch"] != epochs or final["best"]["epoch"] > epochs:
        raise Damaged("final.json has scores of an epoch that was not its last, or is not logged")
    for which in ("last", "best"):
        row = log[final[which]["epoch"] - 1]
        for key, value in final[which].items():
            if row.get(key) != value:
                raise Damaged(
                    f"log.jsonl has {key}={row.get(key)!r} at epoch {row['epoch']}, final.json "
                    f"{value!r}"
                )


def read_correlation(folder: Path) -> dict[str, Any]:
    """``correlation.json``; empty where there is none: the network has no convolutions.

    Raises:
        Damaged: if it is not what `chandir.correlation.summary` makes.
    """
    try:
        found = json_mapping(folder / "correlation.json")
    except Missing:
        return {}
    check(found, shapes.CORRELATION, "correlation.json")
    for i, layer in enumerate(found["layers"]):
        if not isinstance(layer, dict):
            raise Damaged(f"correlation.json has layers[{i}]={layer!r:.60}, expected a mapping")
        check(layer, shapes.LAYER, f"correlation.json: layer {i}")
        for part in filter(None, (layer["output"], layer["input"])):
            if len(part["fiber_means"]) != len(part["fiber_deviations"]):
                raise Damaged(f"correlation.json: layer {i} has fibers without a deviation")
    return found


def read_claim(folder: Path) -> dict[str, Any]:
    """``claim.json``; empty where it names nobody: the lock on it is what counts."""
    try:
        owner = json_mapping(folder / "claim.json")
        check(owner, shapes.CLAIM, "claim.json")
    except Damaged:
        return {}
    return owner


def error(folder: Path) -> str:
    """What the error of a failed trial says in its last line."""
    return last_line(folder / "error.txt", "error.txt is empty")


def _unfinished(folder: Path, config: Mapping[str, Any]) -> tuple[str, str]:
    if os.path.lexists(folder / "error.txt"):
        return "failed", error(folder)
    done = len(rows(folder / "log.jsonl"))
    return "incomplete", f"{done} of {config['task']['epochs']} epochs"
