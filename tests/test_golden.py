"""Loss traces that a change which should not move numbers has to match.

Equal to the bit where torch's version and the processor are those that the trace was taken with;
elsewhere to a tolerance, for the order of sums may differ.

To take them anew, after a change that is meant to move numbers:
    python -m tests.test_golden
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from chandir.harness.plan import jobs
from chandir.harness.provenance import device_name
from chandir.harness.trial import run
from tests.harness.runs import numbers

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
    "cifar10-resnet56": (
        "task=cifar10",
        "data.source=synthetic",
        "metric=sobolev",
        "task.batch_size=32",
    ),
}
SIZE = ("task.train_size=64", "task.test_size=64", "task.epochs=2", "device=cpu")


def trace(name: str, folder: Path) -> dict[str, Any]:
    """The numbers of one short trial, and what their last bits depend on."""
    overrides = (*CELLS[name], *SIZE, f"paths.results={folder}", f"data.root={folder}")
    (job,) = jobs(overrides)
    run(job.resolved, job.folder, bar=False)
    return {
        "torch": torch.__version__.partition("+")[0],
        "cpu": f"{device_name(torch.device('cpu'))} {torch.backends.cpu.get_cpu_capability()}",
        "log": numbers(job.folder)["log"],
    }


@pytest.mark.parametrize("name", CELLS)
def test_the_trace_is_the_golden_one(name: str, tmp_path: Path) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    now = trace(name, tmp_path)
    if all(now[key] == golden[key] for key in ("torch", "cpu")):
        assert now["log"] == golden["log"]
        return
    for row, expected in zip(now["log"], golden["log"], strict=True):
        # A test image on the edge between two classes may change sides: 1 of 64 is 1.6 points.
        losses = {key: value for key, value in expected.items() if key.endswith("loss")}
        assert {key: row[key] for key in losses} == pytest.approx(losses, rel=1e-2)


def main() -> None:
    """Write every golden trace anew."""
    GOLDEN.mkdir(exist_ok=True)
    for name in CELLS:
        with tempfile.TemporaryDirectory() as folder:
            text = json.dumps(trace(name, Path(folder)), indent=1)
        (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
