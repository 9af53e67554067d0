"""Everything that needs a GPU, in one command: its tests, then the benchmarks, with a report.

    make gpu-check PYTHON=python3
    python scripts/gpu_check.py --out results/gpu-check

Runs with whatever packages this Python has, without a network. A part that cannot run is named in
the report, and makes the exit status 1; the others still run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def parts(out: Path) -> dict[str, list[str]]:
    """Name and arguments to Python of each part."""
    tests = ["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    bench = ["scripts/bench.py"]
    return {
        "library tests on the GPU": [*tests, "-m", "gpu", "tests"],
        "library tests": [*tests, "tests/test_operators.py", "tests/test_handle.py"],
        "metric": [*bench, "metric", "--json", str(out / "metric.json")],
        "step, batch 128": [*bench, "step", "--batch", "128", "--json", str(out / "step-128.json")],
        "step, batch 8": [*bench, "step", "--batch", "8", "--json", str(out / "step-8.json")],
        "trial on the GPU": [
            "run.py",
            "device=cuda",
            "task.epochs=2",
            f"paths.results={out / 'runs'}",
        ],
        "trial at bf16": [
            "run.py",
            "device=cuda",
            "precision=bf16",
            "task.epochs=2",
            f"paths.results={out / 'runs'}",
        ],
    }


def main() -> int:
    """Run every part; write each one's output and a summary; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu-check")
    parser.add_argument("--seconds", type=float, default=280, help="limit of each part")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    import torch

    if not torch.cuda.is_available():
        print("no CUDA device: torch sees none here; run this where there is one", file=sys.stderr)
        return 1
    results: list[dict[str, Any]] = []
    for name, command in parts(out).items():
        results.append(run(name, command, out, options.seconds))
        print("{status:>8}  {seconds:6.1f} s  {name}".format(**results[-1]), flush=True)
    report = {
        "device": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "parts": results,
    }
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"outputs and report.json: {options.out}")
    return 0 if all(result["status"] == "passed" for result in results) else 1


def run(name: str, command: list[str], out: Path, seconds: float) -> dict[str, Any]:
    """One part, its output in a file of its own."""
    log = out / f"{name.replace(',', '').replace(' ', '-')}.txt"
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        try:
            code = subprocess.run(
                [sys.executable, *command],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            ).returncode
            status = "passed" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "too long"
    return {
        "name": name,
        "status": status,
        "seconds": round(time.monotonic() - start, 1),
        "command": " ".join(["python", *command]).replace(str(out), "OUT"),
        "output": log.name,
    }


if __name__ == "__main__":
    sys.exit(main())
