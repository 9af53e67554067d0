"""What the benchmarks share: alternating measurements, and the record of where they were taken.

Needs torch alone, so that `metric` runs on a machine that has nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("torch", "torchvision", "triton", "numpy", "hydra-core", "pydantic", "pytest")
SOURCES = ("run.py", *(f"{part}/**/*" for part in ("chandir", "conf", "models", "tasks")))
Times = dict[str, list[float]]


def _processor_time() -> float:
    """Seconds of this process, all threads, and of its child processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


# wall: what a person waits. cpu: processor time, for work of one thread on a machine that others
# load; a GPU's work, and that of processes which still live, is not in it.
CLOCKS = {"wall": time.perf_counter, "cpu": _processor_time}


def alternate(
    actions: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    warm_up: bool = True,
    clock: str = "wall",
) -> Times:
    """Return the seconds of each action in each round, all taken in turn in every round.

    Taking turns lets whatever else slows the machine down slow all of them alike. One round before
    the first warms up and is not counted.
    """
    now = CLOCKS[clock]
    seconds: Times = {name: [] for name in actions}
    for counted in range(0 if warm_up else 1, rounds + 1):
        for name, action in actions.items():
            wait(device)
            start = now()
            action()
            wait(device)
            if counted:
                seconds[name].append(now() - start)
    return seconds


def medians(seconds: Times, each: int = 1) -> dict[str, float]:
    """The median seconds of each action, over ``each`` steps in one."""
    return {name: median(times) / each for name, times in seconds.items()}


def ratios(seconds: Times, reference: str) -> dict[str, dict[str, float]]:
    """Each action's time over the reference's in the same round: the median and the quartiles."""
    found = {}
    for name, times in seconds.items():
        each = [a / b for a, b in zip(times, seconds[reference], strict=True)]
        low, middle, high = quantiles(each, n=4) if len(each) > 1 else each * 3
        found[name] = {"median": middle, "low": low, "high": high}
    return found


def environment(device: torch.device) -> dict[str, Any]:
    """Return the hardware, the versions, the code and the time that belong to every number."""
    found: dict[str, Any] = {
        "device": device.type,
        "name": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
    }
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found |= {
            "processor": found["name"],
            "name": about.name,
            "memory_gib": round(about.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found | {
        "torch": torch.__version__,
        "versions": versions(),
        **commit(),
        "sources": sources(),
        "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@cache
def versions() -> dict[str, str]:
    """Of Python and of the packages that matter here, those that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> dict[str, Any]:
    """The git commit and whether the tree differs from it; null without git.

    `chandir.harness.durable.provenance` has the same, but needs the experiments' packages.
    """
    try:
        head, status = (
            subprocess.run(
                ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(status)}


@cache
def sources() -> str:
    """SHA-256 (16 digits) of what is measured: it names the code where git does not."""
    digest = hashlib.sha256()
    paths = {path for pattern in SOURCES for path in ROOT.glob(pattern)}
    for path in sorted(path for path in paths if path.suffix in (".py", ".yaml")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def heading(device: torch.device) -> str:
    """One line on where this is measured."""
    where = environment(device)
    state = "" if where["commit"] is None else f", {where['commit'][:10]}"
    state += " with changes" if where["dirty"] else ""
    return (
        f"{where['name']}, {where['cores']} cores, {where['threads']} threads, load "
        f"{where['load']:.1f}; torch {where['torch']}{state}"
    )


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, with the command that made it; where it went is no part of that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = " ".join(["bench.py", *sys.argv[1:]])
    command = arguments.replace(f" --json {path}", "")
    path.write_text(json.dumps({**record, "command": command}, indent=2) + "\n", encoding="utf-8")


def wait(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
