"""Reads what W&B wrote offline: a log of protobuf records in 32 KiB blocks, as LevelDB's."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
FULL, FIRST, LAST = 1, 2, 4  # kinds of parts; 3 is a middle one


@dataclass
class Run:
    """One offline run."""

    identity: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)  # score (or pattern) -> its axis
    exit_code: int | None = None
    preempting: bool = False  # W&B will not call it failed


def read(path: Path) -> Run:
    from wandb.proto import wandb_internal_pb2 as protocol

    run = Run()
    for data in _records(path.read_bytes()):
        record = protocol.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            it = record.run
            run.identity = {
                "id": it.run_id,
                "project": it.project,
                "group": it.run_group,
                "job_type": it.job_type,
                "tags": list(it.tags),
                "name": it.display_name,
            }
            run.config |= _values(it.config.update)
        elif kind == "config":
            run.config |= _values(record.config.update)
        elif kind == "history":
            run.history.append(_values(record.history.item))
        elif kind == "summary":
            run.summary |= _values(record.summary.update)
        elif kind == "metric":
            run.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "preempting":
            run.preempting = True
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _values(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(content: bytes) -> Iterator[bytes]:
    assert content[:4] == b":W&B"
    position, whole = 7, b""
    while position + 7 <= len(content):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack("<IHB", content[position : position + 7])
        if kind == 0:
            position += left
            continue
        part = content[position + 7 : position + 7 + size]
        position += 7 + size
        whole = part if kind in (FULL, FIRST) else whole + part
        if kind in (FULL, LAST):
            yield whole
