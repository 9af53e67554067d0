"""Everything that needs a GPU, in one command: its tests, then the benchmarks, with a report.

    make gpu-check PYTHON=python3
    python scripts/gpu_check.py --out results/gpu-check --minutes 9

Runs with whatever packages this Python has, without a network or a setup step. The library's own
checks and ``bench.py metric`` need torch alone; tests need pytest; training needs what pyproject's
"experiments" lists. A part that cannot run is named in the report with what it misses; the others
still run. Leaves ``report.md``, ``report.json``, each part's output and each benchmark's record.
Exit status 0 if every part ran and passed; a target that is missed is reported, and fails nothing.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Modules, and the package that brings each.
EXPERIMENTS = {
    "hydra": "hydra-core",
    "omegaconf": "omegaconf",
    "pydantic": "pydantic",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
    "torchvision": "torchvision",
    "numpy": "numpy",
}
DIGITS = {"sklearn": "scikit-learn"}
PYTEST = {"pytest": "pytest"}
NO_TESTS = 5  # pytest's exit status if none was selected


@dataclass(frozen=True)
class Part:
    """One process of Python: its arguments, what it needs, how many seconds it may take."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    seconds: float = 120


@dataclass(frozen=True)
class Outcome:
    """What came of a part: passed, failed, too long, no time left, cannot run."""

    name: str
    status: str
    seconds: float
    command: str
    output: str | None = None
    why: str | None = None


def parts(out: Path, device: str, precision: str, quick: bool) -> list[Part]:
    """Every part, the most telling first; ``quick`` takes tiny sizes, to try the command itself."""
    runs, data = str(out / "runs"), str(out / "data")
    tests = ("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "gpu")
    found = [
        Part("oracles", ("scripts/gpu_oracles.py", "--device", device), (), 60),
        Part("GPU tests of the library", (*tests, "tests/test_handle.py"), (*PYTEST,), 90),
        Part("GPU tests, all", (*tests, "tests"), (*PYTEST, "hypothesis", *EXPERIMENTS), 150),
    ]

    def bench(what: str, name: str, *options: str, needs: tuple[str, ...], seconds: float) -> None:
        common = ("scripts/bench.py", what, "--device", device, "--json", str(out / f"{name}.json"))
        found.append(Part(name, (*common, *options), needs, seconds))

    small = ("--rounds", "1", "--batch", "2", "--models", "resnet56")
    bench("metric", "metric-128", *(small if quick else ()), needs=(), seconds=60)
    if not quick:
        bench("metric", "metric-8", "--batch", "8", "--models", "resnet56", needs=(), seconds=45)
    training = tuple(EXPERIMENTS)
    kind = f"precision={precision}"
    for batch in (2,) if quick else (8, 128):
        few = ("--rounds", "1", "--steps", "1") if quick else ("--rounds", "5", "--steps", "20")
        step = ("--batch", str(batch), "--workers", "2", kind, *few)
        bench("step", f"step-{batch}", *step, needs=training, seconds=75)
    write = (
        "from pathlib import Path; from tasks.cifar10 import write_synthetic; "
        f"write_synthetic(Path({data!r}) / 'cifar-10-batches-py', 10000, 2000)"
    )
    if not quick:
        found.append(Part("stand-in for CIFAR-10", ("-c", write), training, 60))
    for batch, images in () if quick else ((8, 2000), (128, 10000)):
        pack = (
            *("task=cifar10", f"data.root={data}", "data.verify=false", "metric=sobolev", kind),
            # As many test images to a training image as in the paper.
            *(f"task.train_size={images}", f"task.test_size={images // 5}"),
            *(f"task.batch_size={batch}", "task.epochs=1", "trial=range(25)"),
            *("--rounds", "1", "--few", "2", "--processes", "8", "--longer", "task.epochs=3"),
        )
        bench("pack", f"pack-{batch}", *pack, needs=training, seconds=150)
    if quick:
        tiny = ("task.train_size=8", "task.test_size=8", "task.epochs=1", "trial=0,1", "--rounds")
        bench("pack", "pack", *tiny, "1", "--skip", "one", needs=training, seconds=150)
    sizes = ("--only", "digits", "--steps", "1", "--rounds", "1", "--test-images", "2")
    packs = [str(out / f"pack-{batch}.json") for batch in (8, 128)]
    rest = sizes if quick else ("--only", "cifar10", "mnist-swap", "digits", "--pack", *packs)
    bench("project", "project", kind, *rest, needs=training, seconds=120)
    needs = (*training, *DIGITS)
    for precise in ("fp32", "bf16") if device == "cpu" else ("fp32", "tf32", "bf16"):
        trial = ("run.py", f"device={device}", f"precision={precise}", "task.epochs=2")
        found.append(Part(f"trial at {precise}", (*trial, f"paths.results={runs}"), needs, 60))
    bench("start", "start", "--rounds", "1" if quick else "2", needs=needs, seconds=60)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run every part; write each one's output and the report; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu-check")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all parts together")
    parser.add_argument("--device", default="cuda", help="cpu tries the command itself")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run")
    parser.add_argument("--only", nargs="+", metavar="PART", help="parts that begin with these")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("torch") is None:
        print(f"no torch in {sys.executable}: expected 2.11 or newer; give another PYTHON=...")
        return 1
    import torch

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no CUDA device: torch sees none here; run this where there is one", file=sys.stderr)
        return 1
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.json"):  # a record of an earlier check is none of this one
        old.unlink()
    end = time.monotonic() + 60 * options.minutes
    outcomes = []
    for part in parts(out, options.device, options.precision, options.quick):
        if options.only is None or part.name.startswith(tuple(options.only)):
            outcomes.append(run(part, out, end - time.monotonic()))
            print(
                "{status:>12}  {seconds:6.1f} s  {name}".format(**asdict(outcomes[-1])), flush=True
            )
    report(out, options, outcomes)
    print(f"{options.out / 'report.md'}, report.json, and each part's output beside them")
    return 0 if all(outcome.status == "passed" for outcome in outcomes) else 1


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
    if left < 5:
        return Outcome(part.name, "no time left", 0, command, why="raise --minutes")
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
            passed = code == 0 or (code == NO_TESTS and "pytest" in part.command)
            status, why = ("passed", None) if passed else ("failed", f"exit status {code}")
        except subprocess.TimeoutExpired:
            status, why = "too long", f"stopped after {min(part.seconds, left):.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Outcome(part.name, status, round(time.monotonic() - start, 1), command, log.name, why)


def report(out: Path, options: argparse.Namespace, outcomes: list[Outcome]) -> None:
    """report.json and report.md: where, targets, parts, what is missing, every output's end."""
    import torch

    sys.path.insert(0, str(ROOT))
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
    sys.exit(main())
