"""Everything that needs a GPU, in one command: its tests, then the benchmarks, with a report.

    make gpu-check PYTHON=python3                        # as much as fits into ten minutes
    make gpu-check PYTHON=python3 ARGS=--rest            # and what did not, again until all is

Runs with whatever packages this Python has, without a network or a setup step. The library's own
checks and ``bench.py metric`` need torch alone; tests need pytest; training needs what pyproject's
"experiments" lists. A part that cannot run is named in the report with what it misses; the others
still run. Leaves ``report.md``, ``report.json``, each part's output and each benchmark's record.
Exit status 1 if a part failed or took too long. What cannot run here or had no time left is told,
and fails nothing, as does a target that is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.benchmarks.parts import DIGITS, EXPERIMENTS, PYTEST, Part, parts  # noqa: E402

NO_TIME, LATER = "no time left", "--rest runs it"
NO_TESTS = 5  # pytest's exit status if none was selected


@dataclass(frozen=True)
class Outcome:
    """What came of a part: passed, failed, too long, no time left, cannot run."""

    name: str
    status: str
    seconds: float
    command: str
    output: str | None = None
    why: str | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run every part; write each one's output and the report; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu-check")
    parser.add_argument("--minutes", type=float, default=8.5, help="for all parts together")
    parser.add_argument("--device", default="cuda", help="cpu tries the command itself")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run")
    parser.add_argument("--only", nargs="+", metavar="PART", help="parts that begin with these")
    parser.add_argument("--rest", action="store_true", help="what an earlier check did not finish")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("torch") is None:
        print(f"no torch in {sys.executable}: give another PYTHON=...", file=sys.stderr)
        return 1
    import torch

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no CUDA device: torch sees none here; run this where there is one", file=sys.stderr)
        return 1
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    kept = earlier(out) if options.rest else {}
    if not kept:
        for old in out.glob("*.json"):  # a record of an earlier check is none of this one
            old.unlink()
    outcomes = []
    for part in parts(out, options.device, options.precision, options.quick):
        if part.name in kept:
            outcomes.append(kept[part.name])
        elif options.only is None or part.name.startswith(tuple(options.only)):
            outcomes.append(run(part, out, end - time.monotonic()))
            print(
                "{status:>12}  {seconds:6.1f} s  {name}".format(**asdict(outcomes[-1])), flush=True
            )
    report(out, options, outcomes)
    print(f"{options.out / 'report.md'}, report.json, and each part's output beside them")
    counts = Counter(outcome.status for outcome in outcomes)
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if counts[NO_TIME]:
        print("what had no time left: the same command with ARGS=--rest (or --rest)")
    return 1 if counts["failed"] or counts["too long"] else 0


def earlier(out: Path) -> dict[str, Outcome]:
    """What an earlier check of the same sources came to, but for what had no time left."""
    from scripts.benchmarks import measure

    try:
        content = json.loads((out / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if content["environment"]["sources"] != measure.sources():
        return {}
    found = [Outcome(**part) for part in content["parts"]]
    return {outcome.name: outcome for outcome in found if outcome.status != NO_TIME}


def missing(part: Part) -> list[str]:
    """Packages that a part needs and this Python has not."""
    names = {**EXPERIMENTS, **DIGITS, **PYTEST}
    return [names.get(need, need) for need in part.needs if importlib.util.find_spec(need) is None]


def run(part: Part, out: Path, left: float) -> Outcome:
    """One part, its output in a file of its own, within its limit and the time left for all."""
    command = " ".join(["python", *part.command]).replace(str(out), "OUT")
    lacks = missing(part)
    if lacks:
        return Outcome(part.name, "cannot run", 0, command, why=f"needs {', '.join(lacks)}")
    if left < max(5, part.seconds / 2):  # it would most likely be cut off
        return Outcome(part.name, NO_TIME, 0, command, why=LATER)
    log = out / f"{part.name.replace(',', '').replace(' ', '-')}.txt"
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, *part.command],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its own processes can be ended with it
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        try:
            code = process.wait(min(part.seconds, left))
            status, why = ("passed", None) if code == 0 else ("failed", f"exit status {code}")
            if code == NO_TESTS and "pytest" in part.command:
                why = "no test was selected"
        except subprocess.TimeoutExpired:
            if part.seconds <= left:
                status, why = "too long", f"stopped after {part.seconds:.0f} s"
            else:
                status, why = NO_TIME, f"stopped after {left:.0f} s; {LATER}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Outcome(part.name, status, round(time.monotonic() - start, 1), command, log.name, why)


def report(out: Path, options: argparse.Namespace, outcomes: list[Outcome]) -> None:
    """report.json and report.md: where, targets, parts, what is missing, every output's end."""
    import torch

    from scripts.benchmarks import measure, targets

    device = torch.device(options.device)
    where = measure.environment(device)
    records = {} if options.quick else targets.read(out)
    judged = targets.judge(records, device.type)
    content: dict[str, Any] = {
        "environment": where,
        "precision": options.precision,
        "quick": options.quick,
        "targets": judged,
        "parts": [asdict(outcome) for outcome in outcomes],
    }
    (out / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [f"# GPU check on {where['name']}", "", measure.heading(device), ""]
    if options.quick:
        lines += ["**Tiny sizes (--quick): no measurement, no target is judged by this.**", ""]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    lines += [f"{versions}; sources {where['sources']}; precision {options.precision}; "]
    lines += [where["taken"], "", "## Targets", "", targets.table(judged), "", "## Parts", ""]
    lines += ["| part | | s | |", "|---|---|---|---|"]
    for outcome in outcomes:
        status = outcome.status if outcome.status == "passed" else f"**{outcome.status}**"
        lines.append(f"| {outcome.name} | {status} | {outcome.seconds} | {outcome.why or ''} |")
    lines.append("")
    for outcome in outcomes:
        if outcome.output is not None:
            kept = (out / outcome.output).read_text(encoding="utf-8", errors="replace").splitlines()
            lines += [f"## {outcome.name}", "", f"    {outcome.command}", "", "```"]
            lines += [*kept[-45:], "```", ""]
    (out / "report.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    from chandir.harness.base.output import outlast

    outlast()
    sys.exit(main())
