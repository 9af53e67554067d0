"""Stacked trials: the sums are those of each alone; lanes leave, fail, diverge, and resume."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from chandir.harness.base import signals
from chandir.harness.base.errors import UserError
from chandir.harness.durable import record
from chandir.harness.gpu import lanes, stack
from chandir.harness.parts import optimizers
from chandir.harness.sweep.plan import Job, jobs
from chandir.harness.trial import checkpoint, data, devices, graph, loop
from chandir.harness.trial.seeding import Streams, seed
from chandir.harness.trial.trial import run
from tests.harness.faults import ended, forked, saved
from tests.harness.runs import numbers
from tests.harness.test_graph import StandIn

FAST = ("determinism=fast", "device=cpu")
DIGITS = ("task.train_size=43", "task.test_size=60", "task.epochs=3")  # 6 steps, the last of 3
CIFAR = (
    *("task=cifar10", "data.source=synthetic", "task.batch_size=4", "task.epochs=1"),
    *("task.train_size=8", "task.test_size=8"),
)
DIFFERENT = [
    ("metric=h0", "trial=0"),
    ("metric=h0_lambda", "trial=0", "optimizer.lr=0.05"),
    ("metric=sobolev", "trial=1", "metric.direction=input"),
    ("metric=h0_norm", "trial=2", "optimizer.momentum=0"),
    ("metric=h0_mean", "trial=2", "optimizer.weight_decay=0.01"),
    ("optimizer=LS", "trial=3"),
    ("optimizer=adam", "metric=sobolev", "trial=4"),
]


def job(results: Path, *overrides: str) -> Job:
    given = (*FAST, f"paths.results={results}", f"data.root={results}", *overrides)
    (only,) = jobs(tuple({item.partition("=")[0]: item for item in given}.values()))
    return only  # the last one of each setting


def stacked(planned: list[Job], size: int | None = None) -> dict[Path, Exception | None]:
    """Run them in one stack; how each one ended."""
    how: dict[Path, Exception | None] = {}

    def note(trial: lanes.Trial, error: Exception | None) -> bool:
        how[trial[1]] = error
        return True

    lanes.run([(it.resolved, it.folder) for it in planned], size or len(planned), note)
    return how


def requests(planned: list[Job], dtype: torch.dtype) -> list[loop.Request]:
    """What the trials would ask for in their first epoch."""
    made = []
    for it in planned:
        config = it.resolved.config
        device = devices.select(config)
        task = data.load(config, device)
        torch.manual_seed(seed(config.trial, "init"))
        model = data.build_model(config).to(dtype)
        steppers = {"model": optimizers.build(config, model, "model")}
        optimizers.begin_epoch(steppers, config, 1)
        streams = Streams(config.trial)
        made.append(
            loop.Request(Wide(task, dtype), model, steppers, streams, config, device, lambda: None)
        )
    return made


class Wide:
    """A task whose images have another dtype."""

    def __init__(self, task: Any, dtype: torch.dtype) -> None:
        self.task, self.dtype = task, dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def batch(self, *arguments: Any) -> tuple[torch.Tensor, ...]:
        images, labels = self.task.batch(*arguments)
        return images.to(self.dtype), labels


@pytest.mark.parametrize(
    "task",
    [
        DIGITS,
        pytest.param((*CIFAR, "model=resnet56"), marks=pytest.mark.slow),
        (*CIFAR, "model=convnet"),
    ],
    ids=["digits", "resnet56", "convnet"],
)
def test_every_lane_computes_what_it_would_alone(tmp_path: Path, task: tuple[str, ...]) -> None:
    """In float64, where the order of a sum hardly matters; ResNet-56 in float32 is chaotic."""
    planned = [job(tmp_path, *task, *settings) for settings in DIFFERENT]
    assert len({stack.alike(it.resolved.config) for it in planned}) == 1
    together, alone = requests(planned, torch.float64), requests(planned, torch.float64)
    measured = stack.train_epoch(together)
    for one, other, epoch in zip(together, alone, measured, strict=True):
        expected = loop.train_epoch(*other)
        assert epoch.scores == pytest.approx(expected.scores, rel=1e-6)  # kept in float32
        assert (epoch.steps, epoch.bad_step) == (expected.steps, expected.bad_step)
        for (name, tensor), (_, apart) in zip(
            one.model.state_dict().items(), other.model.state_dict().items(), strict=True
        ):
            torch.testing.assert_close(tensor, apart, rtol=1e-7, atol=1e-9, msg=name)
            assert tensor.untyped_storage().nbytes() == apart.untyped_storage().nbytes(), name
    buffers = dict(together[0].model.named_buffers())
    if "model=resnet56" in task:
        assert buffers["bn1.num_batches_tracked"] == 2


def test_in_float32_they_agree_to_rounding(tmp_path: Path) -> None:
    planned = [job(tmp_path / "stacked", *DIGITS, *settings) for settings in DIFFERENT]
    assert stacked(planned) == dict.fromkeys([it.folder for it in planned])
    for it, settings in zip(planned, DIFFERENT, strict=True):
        apart = job(tmp_path / "alone", *DIGITS, *settings)
        run(apart.resolved, apart.folder)
        now, expected = numbers(it.folder)["log"], numbers(apart.folder)["log"]
        assert [row["lr"] for row in now] == [row["lr"] for row in expected]
        for row, other in zip(now, expected, strict=True):
            assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
            assert row["test_loss"] == pytest.approx(other["test_loss"], rel=1e-4)


def test_dropout_differs_between_lanes_and_steps(tmp_path: Path) -> None:
    settings = (*CIFAR, "model=vgg16", "optimizer.lr=1e-30")  # only dropout and batches remain
    same = [job(tmp_path, *settings, *it) for it in (("metric=h0",), ("metric=sobolev",))]
    first, second = (epoch.scores for epoch in stack.train_epoch(requests(same, torch.float32)))
    assert first["train_loss"] != second["train_loss"]
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=0.5)


def test_the_record_says_how_many_and_the_log_and_checkpoint_are_as_ever(tmp_path: Path) -> None:
    planned = [job(tmp_path, *DIGITS, f"trial={k}") for k in range(3)]
    stacked(planned, size=2)
    for it in planned:
        device = json.loads((it.folder / "provenance.json").read_text())["device"]
        assert device["lanes"] == 2
        weights = torch.load(it.folder / "weights.pt", weights_only=True)
        assert all(w.untyped_storage().nbytes() == w.nbytes for w in weights.values())
        assert [row["epoch"] for row in numbers(it.folder)["log"]] == [1, 2, 3]
        assert not (it.folder / "claim.json").exists()
    before = (planned[0].folder / "final.json").stat().st_mtime_ns
    assert stacked(planned) == dict.fromkeys([it.folder for it in planned])
    assert (planned[0].folder / "final.json").stat().st_mtime_ns == before


def test_a_diverging_lane_leaves_the_others_to_the_bit(tmp_path: Path) -> None:
    def three(results: Path, lr: str) -> list[Job]:
        settings = [("trial=0",), ("trial=1", f"optimizer.lr={lr}"), ("trial=2", "metric=h0")]
        return [job(results, *DIGITS[:2], "task.epochs=1", *it) for it in settings]

    healthy, ill = three(tmp_path / "healthy", "0.02"), three(tmp_path / "ill", "1e20")
    stacked(healthy)
    assert set(stacked(ill).values()) == {None}
    assert numbers(ill[1].folder)["final"]["status"] == "diverged"
    for k in (0, 2):
        assert numbers(ill[k].folder) == numbers(healthy[k].folder)


def test_a_diverged_lane_drops_out_and_the_others_go_on(tmp_path: Path) -> None:
    settings = [("trial=0",), ("trial=1", "optimizer.lr=1e20"), ("trial=2", "task.epochs=5")]
    planned = [job(tmp_path, *DIGITS, *it) for it in settings]
    stacked(planned)
    assert [len(numbers(it.folder)["log"]) for it in planned] == [3, 1, 5]


def test_a_killed_stack_resumes(tmp_path: Path) -> None:
    def planned(results: Path) -> list[Job]:
        settings = ("checkpoint.seconds=0", "metric=sobolev")
        return [job(results, *DIGITS, *settings, f"trial={k}") for k in range(3)]

    stacked(planned(tmp_path / "whole"))
    cut = planned(tmp_path / "cut")

    def trials() -> None:
        append = record.Record.append

        def append_and_die(self: Any, row: dict[str, Any]) -> None:
            append(self, row)
            if row["epoch"] == 2 and self.folder == cut[1].folder:
                os.kill(os.getpid(), signal.SIGKILL)

        record.Record.append = append_and_die  # type: ignore[method-assign]
        stacked(cut)

    assert ended(forked(trials)) == -signal.SIGKILL
    assert [saved(it.folder) for it in cut] == [2, 1, 1]  # lanes at different epochs
    stacked(cut)
    for one, other in zip(cut, planned(tmp_path / "whole"), strict=True):
        now, expected = numbers(one.folder)["log"], numbers(other.folder)["log"]
        for row, undisturbed in zip(now, expected, strict=True):
            assert row["train_loss"] == pytest.approx(undisturbed["train_loss"], rel=1e-4)
        first, second = json.loads((one.folder / "provenance.json").read_text())["segments"]
        assert (first["after_epoch"], second["after_epoch"]) == (0, 2 if one is cut[0] else 1)


def test_a_failing_lane_takes_nobody_with_it(tmp_path: Path) -> None:
    planned = [job(tmp_path, *DIGITS, f"trial={k}") for k in range(3)]
    (planned[1].folder / "log.jsonl").mkdir(parents=True)
    how = stacked(planned)
    assert [type(how[it.folder]) for it in planned] == [type(None), UserError, type(None)]
    assert "log.jsonl is a folder" in (planned[1].folder / "error.txt").read_text()
    assert [len(numbers(planned[k].folder)["log"]) for k in (0, 2)] == [3, 3]


def test_an_error_of_the_stack_is_everyones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = [job(tmp_path, *DIGITS, f"trial={k}") for k in range(2)]

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("vmap: no batching rule")

    monkeypatch.setattr(stack, "step", broken)
    assert [str(it) for it in stacked(planned).values()] == ["vmap: no batching rule"] * 2
    assert "no batching rule" in (planned[1].folder / "error.txt").read_text()


def limited(lanes: int, monkeypatch: pytest.MonkeyPatch, calm: int = 0) -> list[int]:
    """Let more lanes than that run out of memory, after so many steps; the sizes tried."""
    step, sizes = stack.step, list[int]()

    def greedy(requested: Any, *rest: Any) -> Any:
        sizes.append(len(requested))
        if len(requested) > lanes and len(sizes) > calm:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return step(requested, *rest)

    monkeypatch.setattr(stack, "step", greedy)
    return sizes


@pytest.mark.parametrize(
    "calm", [0, pytest.param(3, marks=pytest.mark.slow), pytest.param(9, marks=pytest.mark.slow)]
)
def test_out_of_memory_halves_the_stack_and_loses_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    calm: int,
) -> None:
    def planned(results: Path) -> list[Job]:
        return [job(results, *DIGITS, f"trial={k}") for k in range(5)]

    stacked(planned(tmp_path / "whole"))
    sizes = limited(2, monkeypatch, calm)
    how = stacked(planned(tmp_path / "cut"))
    assert set(how.values()) == {None}
    assert set(sizes) == {5, 2}
    assert "out of memory: 5 lanes become 2" in capsys.readouterr().out
    for one, other in zip(planned(tmp_path / "cut"), planned(tmp_path / "whole"), strict=True):
        now, expected = numbers(one.folder)["log"], numbers(other.folder)["log"]
        assert len(now) == len(expected)
        for row, undisturbed in zip(now, expected, strict=True):
            assert row["train_loss"] == pytest.approx(undisturbed["train_loss"], rel=1e-4)
        origin = json.loads((one.folder / "provenance.json").read_text())
        # The sixth step ends an epoch, which is kept.
        assert origin["segments"][-1]["after_epoch"] == (1 if calm == 9 else 0)
        assert origin["device"]["lanes"] == 2


def test_a_lane_alone_without_memory_fails_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(stack, "step", greedy)
    monkeypatch.setattr(loop, "step", greedy)
    planned = [job(tmp_path, *DIGITS, f"trial={k}") for k in range(3)]
    how = stacked(planned)
    assert [type(it) for it in how.values()] == [torch.OutOfMemoryError] * 3
    assert all((it.folder / "error.txt").exists() for it in planned)


def test_a_signal_lets_every_lane_save_its_last_whole_epoch(tmp_path: Path) -> None:
    planned = [job(tmp_path, *DIGITS, "task.epochs=50", f"trial={k}") for k in range(2)]
    step, steps = stack.step, []

    def interrupted(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 2 * 6 + 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "step", interrupted)
        with pytest.raises(signals.Leave), signals.listening():
            stacked(planned)
    assert [saved(it.folder) for it in planned] == [2, 2]
    assert not any((it.folder / "claim.json").exists() for it in planned)
    signals._restore({})


def test_a_lane_that_cannot_save_costs_no_other_lane_its_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [
        job(tmp_path, *DIGITS, "task.epochs=50", "checkpoint.seconds=3600", f"trial={k}")
        for k in range(2)
    ]
    step, save, steps = stack.step, checkpoint.save, []

    def interrupted(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 2 * 6 + 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    def full(folder: Path, state: Any) -> None:
        if folder == planned[0].folder:
            raise OSError(28, "No space left on device")
        save(folder, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "step", interrupted)
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(signals.Leave), signals.listening():
            stacked(planned)
    assert "No space left" in (planned[0].folder / "error.txt").read_text()
    assert "not saved: [Errno 28]" in capsys.readouterr().err
    assert saved(planned[1].folder) == 2
    signals._restore({})


def test_a_stack_is_replayed_from_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(results: Path, graphs: str) -> list[Job]:
        settings = (*DIGITS, f"graphs={graphs}")
        return [job(results, *settings, *it) for it in (*DIFFERENT[:3], ("optimizer=adam",))]

    made = StandIn()
    monkeypatch.setattr(graph, "wanted", lambda config, task, device: config.graphs is not False)
    monkeypatch.setattr(graph, "capture", made.capture)
    monkeypatch.setattr(graph, "WORTH", 4)
    stacked(planned(tmp_path / "replayed", "auto"))
    assert (made.recorded, made.replayed) == (3, 3 * 4)
    stacked(planned(tmp_path / "plain", "false"))
    assert made.recorded == 3
    for one, other in zip(
        planned(tmp_path / "replayed", "auto"), planned(tmp_path / "plain", "false"), strict=True
    ):
        assert numbers(one.folder) == numbers(other.folder)


def test_what_does_not_fit_together_is_told_apart(tmp_path: Path) -> None:
    one = job(tmp_path, *DIGITS)
    for setting in ("task.batch_size=16", "task.train_size=44", "threads=2", "model=resnet56"):
        other = job(tmp_path, *DIGITS, setting)
        assert stack.alike(one.resolved.config) != stack.alike(other.resolved.config)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (("determinism=reproducible",), "determinism=reproducible fixes the bits"),
        (("task=pascalvoc",), "task=pascalvoc has no step that can be stacked"),
        (("precision=bf16",), "precision=bf16 is lost in a stack"),
        ((), ""),
    ],
)
def test_what_cannot_be_stacked_says_why(
    tmp_path: Path, settings: tuple[str, ...], why: str
) -> None:
    config = job(tmp_path, *settings).resolved.config
    task = data.build(config)
    assert stack.unfit(config, task).startswith(why)
    assert bool(stack.unfit(config, task)) == bool(why)


def close(one: Any, other: Any, tolerance: float) -> None:
    for row, expected in zip(one["log"], other["log"], strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("graphs", ["true", "false"])
def test_on_a_gpu_lanes_agree_with_trials_alone(
    tmp_path: Path, graphs: str, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("device=cuda", f"precision={precision}", f"graphs={graphs}", "task.train_size=160")

    def planned(results: Path) -> list[Job]:
        return [job(results, *DIGITS, *settings, *common) for settings in DIFFERENT]

    first = planned(tmp_path / "stacked")
    assert set(stacked(first).values()) == {None}
    assert "no CUDA graph" not in capsys.readouterr().out
    for one, other in zip(first, planned(tmp_path / "alone"), strict=True):
        run(other.resolved, other.folder)
        close(numbers(one.folder), numbers(other.folder), 1e-3 if precision == "fp32" else 0.1)


@pytest.mark.gpu
def test_on_a_gpu_batch_normalisation_agrees_with_trials_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (*CIFAR, "model=resnet56", "device=cuda", "metric=sobolev", "task.train_size=16")

    def planned(results: Path) -> list[Job]:
        return [job(results, *common, f"trial={k}") for k in range(3)]

    first = planned(tmp_path / "stacked")
    assert set(stacked(first).values()) == {None}
    assert "no CUDA graph" not in capsys.readouterr().out
    for one, other in zip(first, planned(tmp_path / "alone"), strict=True):
        run(other.resolved, other.folder)
        close(numbers(one.folder), numbers(other.folder), 1e-2)


@pytest.mark.gpu
def test_on_a_gpu_real_memory_runs_out_and_the_stack_halves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [job(tmp_path, *DIGITS, "device=cuda", f"trial={k}") for k in range(4)]
    step, kept = stack.step, list[Any]()

    def greedy(lanes: Any, *rest: Any) -> Any:
        try:
            while len(lanes) > 2:
                kept.append(torch.empty(1 << 30, device="cuda"))
        finally:
            kept.clear()
        return step(lanes, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "step", greedy)
        assert set(stacked(planned).values()) == {None}
    assert "4 lanes become 2" in capsys.readouterr().out
