"""Small real trials, for tests: a few digits, a few epochs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("task.train_size=40", "task.test_size=60", "task.epochs=3")
TIMES = ("seconds", "images_per_second")

# The content of a final.json that only has to count as one.
WHOLE = {"status": "done", "score": {}, "last": {}, "best": {}, "totals": {}}


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
