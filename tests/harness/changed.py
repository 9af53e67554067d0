"""What the tests of other code and other data share: complete trials, and what they ran with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chandir.harness.sweep.sweep import execute, prepare
from tests.harness.faults import COMMON, SHORT, finished, job

NETWORK = "models/convnet.py"
BASIC = ("-m", "hydra/launcher=basic")


def called(results: Path, *overrides: str) -> int:
    """run.py in this process; its exit status."""
    arguments = [*COMMON, SHORT, f"paths.results={results}", *overrides]
    return execute(prepare(arguments), arguments)


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a trial's record says that it ran with; its result is marked as of then."""
    path = folder / "provenance.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    final = json.loads((folder / "final.json").read_text())
    final["totals"]["seconds"] = 12345.0
    (folder / "final.json").write_text(json.dumps(final))


def old(folder: Path) -> bool:
    """Whether a trial has the result that `edited` marked."""
    final = json.loads((folder / "final.json").read_text())
    return bool(final["totals"]["seconds"] == 12345.0)


def other_code(record: dict[str, Any]) -> None:
    """Of another version of the network."""
    for part in (record, *record["segments"]):
        part["sources"] = part["sources"] | {NETWORK: "0" * 16}


def other_data(record: dict[str, Any]) -> None:
    """Of other images."""
    for part in (record, *record["segments"]):
        part["data"] = {"checksum": "0" * 64}


def both_codes(record: dict[str, Any]) -> None:
    """Begun with another version of the network, and gone on with this one."""
    first = record["segments"][0]
    before = first | {"sources": first["sources"] | {NETWORK: "0" * 16}}
    record["segments"] = [before, first | {"after_epoch": 2}]


def both_data(record: dict[str, Any]) -> None:
    """Begun on other images, and gone on with these."""
    first = record["segments"][0]
    record["segments"] = [first | {"data": {"checksum": "0" * 64}}, first | {"after_epoch": 2}]


def trained(results: Path, change: Callable[[dict[str, Any]], None], *overrides: str) -> Path:
    """The folder of a trial that ran, as if with something else."""
    finished(results, SHORT, *overrides)
    folder = job(results, SHORT, *overrides).folder
    edited(folder, change)
    return folder
