"""Small real trials, for tests: a few digits, a few epochs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from chandir.harness.durable import provenance
from chandir.harness.durable.record import Record, result
from chandir.harness.sweep.complete import Complete
from chandir.harness.sweep.plan import Job
from chandir.harness.trial.origins import Here

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("task.train_size=40", "task.test_size=60", "task.epochs=3")
TIMES = ("seconds", "images_per_second")
SCORE = {"name": "test_accuracy", "better": "higher", "unit": "%", "smallest": 0.1}


def command(*overrides: str) -> list[str]:
    return [sys.executable, str(ROOT / "run.py"), *overrides]


def call(
    *overrides: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    timeout: float = 240,
) -> subprocess.CompletedProcess[str]:
    """run.py as a user calls it."""
    return subprocess.run(
        command(*overrides, "paths.page=null"),
        cwd=cwd or ROOT,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def numbers(folder: Path) -> dict[str, Any]:
    """Everything that a trial measured, without the times that vary between identical runs."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    final = json.loads((folder / "final.json").read_text())
    final["totals"].pop("seconds")
    for row in log:
        for key in TIMES:
            row.pop(key)
    return {"log": log, "final": final}


def begun(job: Job, epochs: int, seconds: float = 60.0) -> Record:
    """The folder of a trial that was interrupted after some epochs, made up."""
    record = Record(job.folder)
    job.folder.mkdir(parents=True)
    code = provenance.code(job.resolved.config)
    origin = {"commit": "c" * 40, "dirty": False, "sources": code, "versions": {},
              "device": {"name": "made up"}, "determinism": "fast",
              "data": {"checksum": "d" * 64}}  # fmt: skip
    record.open(job.resolved.plain() | {"score": SCORE}, origin)
    for epoch in range(1, epochs + 1):
        record.append({"epoch": epoch, "test_accuracy": 90.0 + epoch, "seconds": seconds})
    return record


def whole(job: Job, status: str = "done", epochs: int | None = None, seconds: float = 60.0) -> Path:
    """The folder of a complete trial, made up."""
    epochs = epochs or job.resolved.config.task.epochs
    assert epochs is not None
    record = begun(job, epochs, seconds)
    totals = {"epochs": epochs, "steps": epochs, "images": epochs, "seconds": seconds * epochs}
    diverged = {"epoch": epochs} if status == "diverged" else None
    record.put("final.json", result(record.rows(), SCORE, job.trial, totals, diverged))
    return job.folder


def complete(jobs: list[Job]) -> Complete:
    """What is complete of some trials; their data are not compared."""
    return Complete(jobs, Here())


def trials(results: Path) -> list[Path]:
    return sorted(path.parent for path in results.glob("*/*/*/final.json"))


def page(results: Path) -> dict[str, str]:
    """Every file of the report, by name, without the times that vary between identical runs."""
    out = results.parent / "page"
    script = [sys.executable, str(ROOT / "scripts" / "report.py"), str(results), "--out", str(out)]
    subprocess.run(script, check=True, capture_output=True)
    files = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        text = path.read_bytes().decode(errors="backslashreplace").replace(str(results), "RUNS")
        text = re.sub(r'"seconds": [0-9.e+-]+', "", text)
        files[str(path.relative_to(out))] = re.sub(r"<dt>Time</dt><dd>[^<]*</dd>", "", text)
    assert any("sobolev" in text for name, text in files.items() if name.endswith(".md"))
    return files
