"""Precision and memory format: settings that reach the step, and are labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import devices, loop
from chandir.harness.trial.trial import run
from tests.harness.runs import numbers

CIFAR = (
    *("task=cifar10", "data.source=synthetic", "task.batch_size=4", "task.epochs=1"),
    *("task.train_size=8", "task.test_size=8", "model=convnet", "metric=sobolev"),
)


def watched(
    results: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, device: str = "cpu"
) -> tuple[dict[str, Any], torch.Tensor, torch.Tensor]:
    """A trial's numbers, and the first convolution's last input and output in training."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    step = loop.step

    def hooked(task: Any, model: nn.Module, *rest: Any) -> Any:
        conv = next(it for it in model.modules() if isinstance(it, nn.Conv2d))
        hook = conv.register_forward_hook(lambda m, x, y: seen.append((x[0].detach(), y.detach())))
        try:
            return step(task, model, *rest)
        finally:
            hook.remove()

    with monkeypatch.context() as patch:
        patch.setattr(loop, "step", hooked)
        where = (f"paths.results={results}", f"data.root={results}", f"device={device}")
        (job,) = jobs((*CIFAR, *where, *overrides))
        run(job.resolved, job.folder)
    return numbers(job.folder), *seen[-1]


def last(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_reaches_the_step_and_moves_last_bits_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, image, _ = watched(tmp_path, monkeypatch)
    there, moved, output = watched(tmp_path, monkeypatch, "task.channels_last=true")
    assert image.is_contiguous()
    assert last(moved)
    assert last(output)
    for key in ("train_loss", "test_loss"):
        assert there["log"][0][key] == pytest.approx(plain["log"][0][key], rel=1e-4)


def test_channels_last_is_a_labelled_cell_of_its_own() -> None:
    (plain,), (false,) = jobs(CIFAR), jobs((*CIFAR, "task.channels_last=false"))
    (true,) = jobs((*CIFAR, "task.channels_last=true"))
    assert plain.folder == false.folder != true.folder
    assert "task.channels_last=true (protocol: false)" in true.resolved.labels


def test_bf16_reaches_the_step_and_leaves_weights_and_scores_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _, output = watched(tmp_path, monkeypatch)
    assert output.dtype == torch.float32
    rough, _, output = watched(tmp_path, monkeypatch, "precision=bf16")
    assert output.dtype == torch.bfloat16
    assert plain["log"][0]["train_loss"] != rough["log"][0]["train_loss"]
    assert rough["log"][0]["train_loss"] == pytest.approx(plain["log"][0]["train_loss"], rel=0.05)
    (file,) = tmp_path.glob("*/*bf16*/trial-0/weights.pt")
    weights = torch.load(file, weights_only=True)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.parametrize("precision", ["tf32", "fp32", "bf16"])
def test_tf32_is_switched_both_ways(precision: str) -> None:
    (job,) = jobs((f"precision={precision}",))
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [switch.allow_tf32 for switch in switches]
    try:
        devices.set_up(job.resolved.config, torch.device("cpu"))
        assert [switch.allow_tf32 for switch in switches] == [precision == "tf32"] * 2
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("setting", "tolerance"),
    [("precision=tf32", 0.02), ("precision=bf16", 0.05), ("task.channels_last=true", 1e-3)],
)
def test_on_a_gpu_they_stay_close_to_the_plain_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, tolerance: float
) -> None:
    plain, _, _ = watched(tmp_path, monkeypatch, device="cuda")
    other, _, output = watched(tmp_path, monkeypatch, setting, device="cuda")
    assert output.dtype == (torch.bfloat16 if "bf16" in setting else torch.float32)
    now, then = (it["log"][0]["train_loss"] for it in (other, plain))
    assert now == pytest.approx(then, rel=tolerance)
