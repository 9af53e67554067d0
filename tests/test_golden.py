"""Loss traces that a change which should not move numbers has to match.

Equal to the bit where all is alike that last bits depend on (`chandir.harness.durable.numerics`,
torch's version); elsewhere to a tolerance, for other instructions sum in another order. Every trace
is of a calm moment, in which that moves last digits only: a deep network at a large rate multiplies
them in every step. The tolerances are about ten times what three instruction sets on one machine
differ by.

To take them anew, after a change that is meant to move numbers:
    python -m tests.test_golden
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from chandir.harness.config import portable
from chandir.harness.durable.numerics import LIMITS, numerics
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial.trial import run
from tests.harness.runs import ROOT
from tests.harness.runs import numbers as measured

GOLDEN = Path(__file__).parent / "golden"
CELLS = {
    "digits-h0": ("metric=h0",),
    "digits-h0_lambda": ("metric=h0_lambda",),
    "digits-sobolev": ("metric=sobolev",),
    "digits-sobolev-rasterized-all": (
        "metric=sobolev",
        "metric.direction=rasterized",
        "metric.scope=all",
    ),
    "digits-LS": ("optimizer=LS",),
    "digits-adam": ("optimizer=adam", "metric=sobolev"),
    # At the paper's rate of 0.1 two processors part by a factor of two within three steps.
    "cifar10-resnet56": (
        "task=cifar10",
        "data.source=synthetic",
        "metric=sobolev",
        "task.batch_size=64",
        "optimizer.lr=1e-4",
    ),
}
SIZE = ("task.train_size=64", "task.test_size=64", "task.epochs=2", "device=cpu")
IMAGE = 100 / 64  # per cent: a test image on the edge between two classes may change sides
# Relative, of a loss. Seen: 1.1e-7, a last bit; after 56 layers 1.2e-5.
TOLERANCES = {name: 1e-4 if name == "cifar10-resnet56" else 1e-6 for name in CELLS}
# Processors that this one can be: without AVX, and without AVX-512.
OTHERS = {
    "sse41": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "portable": portable.LIMITS,
}


def trace(name: str, folder: Path) -> dict[str, Any]:
    """The numbers of one short trial, and what their last bits depend on."""
    overrides = (*CELLS[name], *SIZE, f"paths.results={folder}", f"data.root={folder}")
    (job,) = jobs(overrides)
    run(job.resolved, job.folder)
    version = torch.__version__.partition("+")[0]
    return {"torch": version, "numerics": numerics(), "log": measured(job.folder)["log"]}


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def differences(log: list[dict[str, Any]], other: list[dict[str, Any]], name: str) -> list[str]:
    """What two traces differ in by more than the order of sums explains."""
    found = []
    for row, expected in itertools.zip_longest(log, other, fillvalue={}):
        for key in sorted(row.keys() | expected.keys()):
            close = {"abs": 1.01 * IMAGE} if key.endswith("accuracy") else {"rel": TOLERANCES[name]}
            if row.get(key) != pytest.approx(expected.get(key), **close):
                found.append(f"epoch {row.get('epoch')}: {key}: {row.get(key)} {expected.get(key)}")
    return found


def held(name: str, now: dict[str, Any]) -> None:
    """Hold a trace to the golden one."""
    stored = golden(name)
    assert differences(now["log"], stored["log"], name) == []
    if all(now[key] == stored[key] for key in ("torch", "numerics")):
        assert now["log"] == stored["log"]


@pytest.mark.parametrize("name", CELLS)
def test_the_trace_is_the_golden_one(name: str, tmp_path: Path) -> None:
    held(name, trace(name, tmp_path))


@pytest.mark.skipif(
    platform.machine().lower() not in portable.MACHINES, reason="x86-64's instruction sets"
)
@pytest.mark.timeout(900)  # seconds of work, minutes on a busy machine
@pytest.mark.parametrize("other", OTHERS)
def test_the_traces_hold_on_other_processors(other: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in LIMITS}
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_golden", "print"], cwd=ROOT, env=kept | OTHERS[other],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    traces = json.loads(done.stdout.splitlines()[-1])
    asked = OTHERS[other]["ATEN_CPU_CAPABILITY"]
    (capability,) = {now["numerics"]["capability"] for now in traces.values()}
    assert capability in {"default": ("DEFAULT", "NO AVX"), "avx2": ("AVX2",)}[asked]
    assert {json.dumps(now["numerics"]["limits"]) for now in traces.values()} == {
        json.dumps({name: OTHERS[other][name] for name in LIMITS if name in OTHERS[other]})
    }
    for name, now in traces.items():
        held(name, now)


def test_the_tolerance_tells_every_two_cells_apart() -> None:
    for name, other in itertools.combinations(CELLS, 2):
        loose = max(name, other, key=TOLERANCES.__getitem__)
        assert differences(golden(name)["log"], golden(other)["log"], loose), (name, other)


def traces() -> dict[str, Any]:
    found = {}
    for name in CELLS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = trace(name, Path(folder))
    return found


def main(arguments: list[str]) -> None:
    """Write every golden trace anew; with an argument, print them all."""
    found = traces()
    if arguments:
        print(json.dumps(found))
        return
    GOLDEN.mkdir(exist_ok=True)
    for name, one in found.items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(one, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
