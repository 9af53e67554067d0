"""CUDA graphs of a step: the logic with a stand-in on the CPU, the real thing where there is one.

The stand-in runs the recorded step again, on the inputs that a replay copies into place, and
returns the same tensors every time, as a graph does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chandir.harness.base.errors import UserError
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import graph, loop
from chandir.harness.trial.trial import run
from tests.harness.runs import numbers

DIGITS = ("task.train_size=131", "task.test_size=60", "task.epochs=4")  # 17 steps, the last of 3
VGG = (
    *("task=cifar10", "model=vgg16", "data.source=synthetic", "task.batch_size=2"),
    *("task.train_size=11", "task.test_size=8", "task.epochs=2"),
)


class StandIn:
    """In place of `graph.capture`: counts what is recorded and replayed."""

    def __init__(self, spoil: Callable[[], object] = lambda: None) -> None:
        self.recorded = self.replayed = 0
        self.spoil = spoil  # what a wrong replay does besides

    def capture(self, body: graph.Body, indices: Tensor, draws: Tensor) -> graph.Body:
        self.recorded += 1
        inputs = torch.full_like(indices, -1), torch.full_like(draws, float("nan"))
        static: list[graph.Outcome] = []

        def replay(indices: Tensor, draws: Tensor) -> graph.Outcome:
            self.replayed += 1
            inputs[0].copy_(indices)
            inputs[1].copy_(draws)
            outcome = body(*inputs)
            self.spoil()
            if not static:
                static.append(outcome)
            for kept, new in zip(static[0], outcome, strict=True):
                for name in kept:
                    kept[name].copy_(new[name])
            return static[0]

        return replay


def trained(results: Path, *overrides: str) -> tuple[dict[str, Any], Path]:
    (job,) = jobs((*overrides, "device=cpu", f"paths.results={results}", f"data.root={results}"))
    run(job.resolved, job.folder)
    return numbers(job.folder), job.folder


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setattr(graph, "wanted", lambda config, task, device: config.graphs is not False)
    monkeypatch.setattr(graph, "capture", lambda *arguments: made.capture(*arguments))
    return made


@pytest.mark.parametrize(
    "settings",
    [
        ("metric=sobolev",),
        ("metric=h0_norm",),
        ("metric=sobolev", "optimizer=adam"),
        ("optimizer=LS", "schedule.every=2", "optimizer.reset_momentum=true"),
    ],
    ids=["sgd", "h0_norm", "adam", "reset"],
)
def test_replayed_epochs_are_the_plain_ones_to_the_bit(
    tmp_path: Path, stand_in: StandIn, settings: tuple[str, ...]
) -> None:
    replayed, _ = trained(tmp_path / "replayed", *DIGITS, *settings)
    # 16 full batches of an epoch: one plain, one trained twice, and a last partial one, plain.
    assert (stand_in.recorded, stand_in.replayed) == (4, 4 * 15)
    plain, _ = trained(tmp_path / "plain", *DIGITS, *settings, "graphs=false")
    assert stand_in.recorded == 4
    assert replayed == plain


@pytest.mark.slow
def test_dropout_draws_the_plain_numbers(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "WORTH", 4)
    replayed, _ = trained(tmp_path / "replayed", *VGG)
    assert (stand_in.recorded, stand_in.replayed) == (2, 2 * 4)
    assert replayed == trained(tmp_path / "plain", *VGG, "graphs=false")[0]


def wrong_weight(models: list[torch.nn.Module]) -> Callable[[], None]:
    @torch.no_grad()
    def spoil() -> None:
        next(models[-1].parameters()).view(-1)[0] += 1e-6

    return spoil


@pytest.mark.parametrize("fault", ["weight", "generator", "error"])
def test_a_wrong_replay_is_told_once_and_trained_plainly(
    tmp_path: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    models: list[torch.nn.Module] = []
    step = loop.step

    def watched(task: Any, model: torch.nn.Module, *rest: Any) -> graph.Outcome:
        models.append(model)
        return step(task, model, *rest)

    def fail() -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(loop, "step", watched)
    spoilers = {
        "weight": wrong_weight(models),
        "generator": lambda: torch.rand(1),
        "error": fail,
    }
    stand_in.spoil = spoilers[fault]
    tried, _ = trained(tmp_path / "tried", *DIGITS)
    assert (stand_in.recorded, stand_in.replayed) == (1, 1)
    told = capsys.readouterr().out
    assert told.count("no CUDA graph for convnet") == 1
    assert ("not permitted" if fault == "error" else "differs from the plain step in 1") in told
    assert tried == trained(tmp_path / "plain", *DIGITS, "graphs=false")[0]


def test_where_the_plain_step_is_not_the_same_twice_rounding_is_no_fault(
    tmp_path: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = torch.Generator().manual_seed(0)
    models: list[Any] = []
    original = graph._Trained.__init__

    def remember(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        models.append(self)

    def noisy(size: float) -> Callable[[], None]:
        @torch.no_grad()
        def spoil() -> None:
            for weight in models[-1].models[0].parameters():
                weight += size * weight.std() * torch.randn(weight.shape, generator=noise)

        return spoil

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph._Trained, "__init__", remember)
        stand_in.spoil = noisy(1e-7)
        trained(tmp_path / "rounding", *DIGITS, "determinism=fast")
        assert stand_in.replayed == 4 * 15
        stand_in.spoil = noisy(1e-2)
        trained(tmp_path / "wrong", *DIGITS, "determinism=fast")
    assert stand_in.replayed == 4 * 15 + 1
    assert "differs from the plain step" in capsys.readouterr().out


def test_a_diverged_trial_is_replayed_like_another(
    tmp_path: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (*DIGITS, "optimizer.lr=1e20", "determinism=fast")
    replayed, _ = trained(tmp_path / "replayed", *settings)
    assert stand_in.replayed == 15
    assert "no CUDA graph" not in capsys.readouterr().out
    assert replayed == trained(tmp_path / "plain", *settings, "graphs=false")[0]


def test_short_epochs_are_not_worth_a_recording(tmp_path: Path, stand_in: StandIn) -> None:
    trained(tmp_path, "task.train_size=127", *DIGITS[1:])
    assert stand_in.recorded == 0


def test_graphs_without_effect_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="graphs=true has no effect on device=cpu"):
        jobs(("graphs=true", "device=cpu"))
    (job,) = jobs(("graphs=true",))
    task: Any = type("Task", (), {"static": False})
    with pytest.raises(UserError, match="graphs=true has no effect on device=cpu"):
        graph.wanted(job.resolved.config, task, torch.device("cpu"))
    with pytest.raises(UserError, match="whose step waits for the device"):
        graph.wanted(job.resolved.config, task, torch.device("cuda"))
    task.static = True
    assert graph.wanted(job.resolved.config, task, torch.device("cuda"))
    (auto,) = jobs(())
    assert not graph.wanted(auto.resolved.config, task, torch.device("cpu"))


class Waiting:
    """How often the host asked for a value while a loop ran."""

    ASKING = ("item", "cpu", "tolist", "numpy", "__bool__", "__float__", "__int__", "nonzero")

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        for name in self.ASKING:
            patch.setattr(Tensor, name, self._counted(name, getattr(Tensor, name)))

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def asking(*arguments: Any) -> Any:
            self.asked.append(name)
            return method(*arguments)

        return asking


@pytest.mark.parametrize("metric", ["h0", "h0_lambda", "sobolev", "h0_norm", "h0_mean"])
def test_no_step_asks_the_device_for_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    step, asked = loop.step, []

    def watched(*arguments: Any) -> graph.Outcome:
        with pytest.MonkeyPatch.context() as patch:
            waiting = Waiting(patch)
            outcome = step(*arguments)
        asked.append(waiting.asked)
        return outcome

    monkeypatch.setattr(loop, "step", watched)
    trained(tmp_path, *DIGITS, f"metric={metric}")
    assert len(asked) == 4 * 17
    assert not any(asked[1:])  # the first step may set up a metric's operators
    with pytest.MonkeyPatch.context() as patch:
        waiting = Waiting(patch)
        float(torch.ones(1))
        assert waiting.asked


def test_a_step_that_waits_is_not_recorded(
    tmp_path: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As far as it goes without a GPU: torch's warning is made up."""
    modes: list[Any] = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    waits, step = graph._waits, loop.step

    def waiting(*arguments: Any) -> graph.Outcome:
        if modes == ["warn"]:
            warnings.warn(f"{graph.SYNC} (Triggered internally)", stacklevel=2)
        return step(*arguments)

    monkeypatch.setattr(graph, "_waits", lambda device: waits(torch.device("cuda")))
    monkeypatch.setattr(loop, "step", waiting)
    tried, _ = trained(tmp_path / "tried", *DIGITS)
    assert (modes, stand_in.recorded) == (["warn", 0], 0)
    assert "no CUDA graph for convnet: a step waits for the device (" in capsys.readouterr().out
    assert tried == trained(tmp_path / "plain", *DIGITS, "graphs=false")[0]


def on_gpu(results: Path, *overrides: str) -> dict[str, Any]:
    (job,) = jobs((*overrides, "device=cuda", f"paths.results={results}", f"data.root={results}"))
    run(job.resolved, job.folder)
    return numbers(job.folder)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "settings",
    [
        (*DIGITS, "metric=sobolev"),
        (*DIGITS, "metric=h0_norm", "optimizer=adam"),
        (*DIGITS, "optimizer=LS", "schedule.every=2", "optimizer.reset_momentum=true"),
        (*VGG, "metric=sobolev"),
        (*VGG, "metric=sobolev", "precision=bf16"),
    ],
    ids=["sgd", "adam", "reset", "dropout", "bf16"],
)
def test_on_a_gpu_replayed_epochs_are_the_plain_ones_to_the_bit(
    tmp_path: Path,
    settings: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(graph, "WORTH", 4)
    replayed = on_gpu(tmp_path / "replayed", *settings, "graphs=true")
    assert "no CUDA graph" not in capsys.readouterr().out
    assert replayed == on_gpu(tmp_path / "plain", *settings, "graphs=false")


@pytest.mark.gpu
def test_on_a_gpu_no_step_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, first = loop.step, []

    def strict(*arguments: Any) -> graph.Outcome:
        if not first:  # it may set up a metric's operators
            first.append(True)
            return step(*arguments)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop, "step", strict)
    for metric in ("h0", "h0_lambda", "sobolev", "h0_norm", "h0_mean"):
        first.clear()
        on_gpu(tmp_path, *DIGITS, f"metric={metric}", "graphs=false")


@pytest.mark.gpu
def test_on_a_gpu_a_step_that_waits_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = loop.step

    def waiting(*arguments: Any) -> graph.Outcome:
        outcome = step(*arguments)
        float(outcome[0]["model"])
        return outcome

    monkeypatch.setattr(loop, "step", waiting)
    tried = on_gpu(tmp_path / "tried", *DIGITS)
    assert capsys.readouterr().out.count("a step waits for the device") == 1
    monkeypatch.undo()
    assert tried == on_gpu(tmp_path / "plain", *DIGITS, "graphs=false")
