"""Where a number comes from: commit, sources, versions, device, data, command."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from chandir.harness.base import folders
from chandir.harness.base.folders import ROOT
from chandir.harness.config.schema import Config
from chandir.harness.durable.numerics import kind, numerics

# Sources that can move a number, besides the classes that a trial is made of: the library, and all
# of the harness but the rooms whose files ask for trials, start, watch and write them down. A new
# room counts until it is named here.
LIBRARY, HARNESS = ROOT / "chandir", ROOT / "chandir" / "harness"
HARMLESS = {"base", "command", "durable", "sweep", "tracking"}
PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "hydra-core",
    "scikit-learn",
    "segmentation-models-pytorch",
    "pillow",
)


def provenance(config: Config, device: Any, checksum: str, lanes: int = 1) -> dict[str, Any]:
    """The content of ``provenance.json``.

    Args:
        config: the trial's.
        device: the torch device that it runs on.
        checksum: of its data, as used.
        lanes: trials asked to train in one stack with it; 1 is alone.
    """
    described = {
        "kind": device.type,
        "name": device_name(device),
        "threads": config.threads,
        "cores": os.cpu_count(),
        "lanes": lanes,
    }
    return {
        **commit(),
        "sources": code(config),
        "versions": versions() | installed(targets(config)),
        "device": described,
        "machine": kind(described, numerics()),
        "numerics": numerics(),
        "data": {"checksum": checksum},
        "determinism": config.determinism,
        "command": os.environ.get("CHANDIR_COMMAND"),  # set by run.py
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def segment(origin: dict[str, Any], epoch: int) -> dict[str, Any]:
    """What ran the epochs after ``epoch``: a trial that went on elsewhere has several of these.

    Numbers are the undisturbed run's to the bit only where device and versions stayed the same.
    """
    names = ("commit", "dirty", "sources", "data", "device", "machine", "numerics", "versions",
             "started")  # fmt: skip
    return {"after_epoch": epoch, **{name: origin[name] for name in names}}


def continued(segments: Sequence[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """The segments and the one that begins now.

    Of a row of equal ones the first and the last are kept: a trial that is preempted a thousand
    times has a record that can be read.
    """
    kept = list(segments)
    if len(kept) > 1 and _what(kept[-2]) == _what(kept[-1]) == _what(new):
        kept.pop()
    return [*kept, new]


def _what(segment: Mapping[str, Any]) -> dict[str, Any]:
    """What ran, whenever that was."""
    return {key: segment[key] for key in segment if key not in ("after_epoch", "started")}


def machines(origin: Mapping[str, Any]) -> list[str]:
    """What ran a trial, each kind once: the machine and torch; empty where no record tells."""
    ran = [each for each in origin.get("segments") or [origin] if "machine" in each]
    return list(
        dict.fromkeys(f"{e['machine']}, torch {e.get('versions', {}).get('torch')}" for e in ran)
    )


@cache
def commit() -> dict[str, Any]:
    """The git commit and whether the tree differs from it; null without git."""
    try:
        head = _git("rev-parse", "HEAD").strip()
        return {"commit": head, "dirty": bool(_git("status", "--porcelain").strip())}
    except (OSError, subprocess.SubprocessError):  # none, no repository, or too slow to wait for
        return {"commit": None, "dirty": None}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "--no-optional-locks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout


def targets(config: Config) -> tuple[str, ...]:
    """The classes that a trial is made of."""
    made = (config.task, config.model, config.metric, config.optimizer, config.schedule)
    return tuple(part.target for part in made)


def code(config: Config) -> dict[str, str]:
    """The `sources` of a trial."""
    return sources(*targets(config))


def note(config: Config) -> None:
    """Read what runs, before it is imported: an edit from then on runs in no trial of this process.

    Its record is written later, after its data were loaded.
    """
    commit()
    code(config)


@cache
def sources(*targets: str) -> dict[str, str]:
    """SHA-256 (16 digits) of every file that can move a number, as this process first read it.

    Args:
        targets: ``_target_`` of what a trial is made of. Modules of this project and of the user's
            own folders count with what they import of there; of an installed package, the version
            is among `versions`.
    """
    paths = set(_always())
    for target in targets:
        paths |= _imported(target.rpartition(".")[0], set())
    return {_named(path): hashlib.sha256(_content(path)).hexdigest()[:16] for path in sorted(paths)}


@cache
def _always() -> list[Path]:
    """The sources of every trial."""
    paths = [*LIBRARY.glob("*.py"), *HARNESS.rglob("*.py")]
    harmless = {HARNESS / room for room in HARMLESS}
    return [path for path in paths if harmless.isdisjoint(path.parents)]


@cache
def _content(path: Path) -> bytes:
    """Of a source: Python, too, reads it once, and runs that for as long as the process lives."""
    return path.read_bytes()


def diff(commit: str, names: Sequence[str]) -> str:
    """How to see what changed in `sources` since a commit: empty if git here knows none of them."""
    ours = [name for name in names if (ROOT / name.partition("/")[0]).is_dir()]
    return f" (git diff {commit[:12]} -- {' '.join(ours)})" if commit and ours else ""


def _named(path: Path) -> str:
    """A source's path below the folder that Python finds it in: no folder of the machine's."""
    below = next(root for root in folders.roots() if path.is_relative_to(root))
    return path.relative_to(below).as_posix()


def _imported(module: str, seen: set[Path]) -> set[Path]:
    """A module, and those that it imports, but for installed packages and ``chandir`` itself."""
    places = [root.joinpath(*module.split(".")) for root in folders.roots()]
    files = [p for at in places for p in (at.with_suffix(".py"), at / "__init__.py")]
    path = next((file for file in files if file.is_file()), None)
    if path is None or path in seen or module.partition(".")[0] == "chandir":
        return seen
    seen.add(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    if parent := module.rpartition(".")[0]:
        _imported(parent, seen)  # Python runs its __init__.py first
    try:
        tree = ast.parse(_content(path))
    except (SyntaxError, ValueError):  # importing it tells; it has not run anything else
        return seen
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            _imported(name, seen)
    return seen


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def installed(targets: tuple[str, ...]) -> dict[str, str]:
    """Versions of the packages, beside the usual ones, that a trial's classes come from."""
    tops = {target.partition(".")[0] for target in targets}
    ours = {path.name for root in folders.roots() for path in root.iterdir()}
    tops -= {name.removesuffix(".py") for name in ours} | {"torch", "torchvision"}
    if not tops:
        return {}
    owners = packages_distributions()
    return {name: version(name) for top in sorted(tops) for name in owners.get(top, [])}


@cache
def device_name(device: Any) -> str:
    """The accelerator's or the processor's model name."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
