"""The open house: one class and one file each, in a folder outside the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chandir.harness.base import folders
from chandir.harness.base.errors import UserError
from chandir.harness.command import arguments as command_line
from chandir.harness.sweep.plan import jobs
from tests.harness.runs import ROOT

CLASSES = '''
from dataclasses import dataclass
import math
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
import chandir
import own_helpers
from tasks.digits import Digits

@dataclass(frozen=True)
class Heat(chandir.Metric):
    """exp(-sigma mu_k), the heat kernel."""

    sigma: float = 1.0

    def __post_init__(self):
        if not self.sigma >= 0:
            raise ValueError(f"Heat(sigma={self.sigma}): expected a number >= 0")

    def response(self, n):
        k = torch.arange(n, dtype=torch.float64)
        return torch.exp(-self.sigma * own_helpers.mu(k, n))


class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr: float, decay: float = 0.0):
        super().__init__(params, {"lr": lr})
        self.decay = decay

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.mul_(1 - self.decay).add_(p.grad.sign(), alpha=-group["lr"])


class Halving(LRScheduler):
    def __init__(self, optimizer, at: int):
        self.at = at
        super().__init__(optimizer)

    def get_lr(self):
        return [lr / 2 if self.last_epoch >= self.at else lr for lr in self.base_lrs]


class Inverted(Digits):
    def normalise(self, images):
        return super().normalise(255 - images)


class Small(nn.Sequential):
    def __init__(self, in_channels: int, num_classes: int, width: int = 6):
        super().__init__(nn.Conv2d(in_channels, width, 3), nn.ReLU(), nn.Flatten(),
                         nn.Linear(36 * width, num_classes))


class Nothing:
    def install(self, optimizer, network):
        pass


class Neither:
    pass
'''
HELPERS = "import torch\n\ndef mu(k, n):\n    return 4 * torch.sin(torch.pi * k / n) ** 2\n"
FILES: dict[str, Any] = {
    "metric/heat": {
        "_target_": "own.Heat", "name": "heat", "direction": "output", "scope": "conv", "sigma": 1.0
    },
    "metric/nothing": {"_target_": "own.Nothing", "name": "nothing"},
    "metric/neither": {"_target_": "own.Neither", "name": "neither"},
    "metric/missing": {"_target_": "own.Missing", "name": "missing"},
    "metric/number": {"_target_": "math.pi", "name": "number"},
    "optimizer/signs": {"_target_": "own.Signs", "name": "signs", "usual_lr": 1e-3, "decay": 0.0},
    "optimizer/lion": {"_target_": "timm.optim.Lion", "name": "lion", "usual_lr": 1e-4,
                       "betas": [0.9, 0.99], "weight_decay": 0.0},
    "optimizer/lbfgs": {"_target_": "torch.optim.LBFGS", "name": "lbfgs"},
    "schedule/halving": {"_target_": "own.Halving", "name": "halving", "at": 1},
    "schedule/plateau": {
        "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "name": "plateau"
    },
    "model/small": {
        "_target_": "own.Small", "name": "small", "makes": "classes", "width": 6,
        "in_channels": "${task.shape.channels}", "num_classes": "${task.shape.classes}",
    },
}  # fmt: skip


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, as ``run.py --config-dir`` takes it."""
    folder = tmp_path / "mine"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    digits = (ROOT / "conf/task/digits.yaml").read_text(encoding="utf-8")
    digits = digits.replace("tasks.digits.Digits", "own.Inverted")
    inverted = digits.replace("name: digits", "name: inverted")
    (folder / "task").mkdir()
    (folder / "task" / "inverted.yaml").write_text(inverted, encoding="utf-8")
    (folder / "own.py").write_text(CLASSES)
    (folder / "own_helpers.py").write_text(HELPERS)
    monkeypatch.setenv(folders.VARIABLE, str(folder))
    return folder


def planned(*arguments: str) -> Any:
    (job,) = jobs(arguments)
    return job


# In a process of its own, since modules stay imported.
def ran(mine: Path, *arguments: str) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """The log, the provenance and the cell's name of a trial by ``run.py``."""
    runs = mine.parent / "runs"
    environment = {k: v for k, v in os.environ.items() if k != folders.VARIABLE}
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "--config-dir", mine, "task.epochs=2",
         "task.train_size=32", "task.test_size=32", f"paths.results={runs}", *arguments],
        cwd=mine.parent, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = [path.parent for path in runs.glob("*/*/trial-0/final.json")]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    origin = json.loads((folder / "provenance.json").read_text())
    name = folder.parent.name
    os.rename(runs, mine.parent / f"done-{name}")
    return log, origin, name


def losses(log: list[dict[str, Any]]) -> list[float]:
    return [row["train_loss"] for row in log]


def test_a_metric_of_ones_own_trains_is_named_and_differs_from_h0(mine: Path) -> None:
    plain, _, _ = ran(mine, "metric=h0")
    heat, origin, name = ran(mine, "metric=heat", "metric.sigma=3")
    assert "heat-output-conv-sigma3" in name
    assert losses(heat) != losses(plain)
    assert {"own.py", "own_helpers.py"} <= origin["sources"].keys()
    assert not [key for key in origin["sources"] if str(mine) in key]


def test_one_of_each_trains(mine: Path) -> None:
    log, origin, name = ran(
        mine, "task=inverted", "model=small", "model.width=4", "optimizer=signs", "metric=sobolev",
        "schedule=halving",
    )  # fmt: skip
    assert name.startswith("small-signs-b8-sobolev-output-conv-halving-")
    assert "-width4-" in name
    assert [row["lr"] for row in log] == [1e-3, 5e-4]
    assert "own.py" in origin["sources"]


def test_an_optimizer_of_another_package_trains(mine: Path) -> None:
    pytest.importorskip("timm")
    log, origin, name = ran(mine, "optimizer=lion", "metric=sobolev")
    assert "lion" in name
    assert log[0]["lr"] == 1e-4
    assert "timm" in origin["versions"]


def test_what_gives_the_plain_gradient_is_h0s_cell(mine: Path) -> None:
    assert planned("metric=heat", "metric.sigma=0").folder == planned("metric=h0").folder
    assert planned("metric=heat").folder != planned("metric=h0").folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("metric=nothing", "metric=nothing: own.Nothing.install changed neither"),
        ("metric=neither", "own.Neither is no chandir.Metric"),
        ("metric=missing", "cannot import _target_: own.Missing"),
        ("metric=number", "pi is no class"),
        ("metric=haet", "metric=haet: expected LS, h0.*did you mean 'heat'"),
        ("metric=heat metric.sigma=-1", "metric.sigma=-1: expected a number >= 0"),
        ("metric=heat metric.sigma=x", "metric.sigma=x: expected a valid number"),
        ("metric=heat metric.sigam=1", "did you mean 'metric.sigma'"),
        (
            "metric=heat metric.sigma=1e300",
            "metric.sigma=1e.300: expected a finite number up to 1e.30",
        ),
        ("metric=h0 metric.sigma=1", "metric.sigma=1 has no effect with metric=h0"),
        ("optimizer=signs optimizer.decay=true", "optimizer.decay=true: expected"),
        ("optimizer=lbfgs", "LBFGS searches along a line"),
        ("schedule=plateau", "schedule=plateau: ReduceLROnPlateau wants more"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    mine: Path, arguments: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        jobs(tuple(arguments.split()))


def test_a_file_that_gives_anothers_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path))
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "heat.yaml").write_text("_target_: own.Heat\nname: sobolev\n")
    with pytest.raises(UserError, match=r"heat.yaml: name: sobolev: expected heat"):
        command_line.groups()


def test_an_own_network_that_says_not_what_it_makes_leaves_others_refusals_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "unsaid.yaml").write_text("_target_: own.Net\nname: unsaid\n")
    with pytest.raises(UserError, match=r"model=spade makes images: .* choose model=convnet, res"):
        jobs(("task=digits", "model=spade"))


def test_two_files_of_one_option_are_refused(mine: Path) -> None:
    (mine / "metric" / "h0.yaml").write_text("_target_: own.Heat\nname: h0\n")
    try:
        with pytest.raises(UserError, match=r"metric=h0 is .*already; rename one of them"):
            folders._options.__wrapped__((mine,))
    finally:
        (mine / "metric" / "h0.yaml").unlink()


@pytest.mark.parametrize(
    ("given", "words"), [([], "expected a folder"), (["nope"], "--config-dir nope: expected a fol")]
)
def test_a_folder_that_is_none_is_refused(given: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        folders.take(["metric=h0", "--config-dir", *given])


def test_a_folder_without_an_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has no option of any group"):
        folders.take([f"--config-dir={tmp_path}"])
