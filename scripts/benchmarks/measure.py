"""What the benchmarks share: alternating measurements, and the record of where they were taken."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent.parent


def alternate(
    actions: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    warm_up: bool = True,
) -> dict[str, float]:
    """Return the median seconds of each action, all taken in turn in every round.

    Taking turns lets whatever else slows the machine down slow all of them alike. One round before
    the first warms up and is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for counted in range(0 if warm_up else 1, rounds + 1):
        for name, action in actions.items():
            _wait(device)
            start = time.perf_counter()
            action()
            _wait(device)
            if counted:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def environment(device: torch.device) -> dict[str, Any]:
    """Return the hardware, versions and time that belong to every number."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
