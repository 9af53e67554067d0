"""What a trial asks of CUDA, as far as that can be seen without it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from chandir.harness.base.errors import out_of_memory
from chandir.harness.sweep.attempt import MEMORY, attempt
from chandir.harness.sweep.plan import jobs
from chandir.harness.trial import devices, loop
from tests.harness.faults import job
from tests.harness.runs import SMALL


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:3", 3)])
def test_a_device_without_an_index_is_the_first(
    monkeypatch: pytest.MonkeyPatch, name: str, index: int
) -> None:
    """torch.cuda.set_device refuses one."""
    seen: list[int] = []
    monkeypatch.setattr(torch._C, "_cuda_setDevice", seen.append, raising=False)
    (job,) = jobs(("threads=1",))
    devices.set_up(job.resolved.config, torch.device(name))
    assert seen == [index]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "FIND was unable to find an engine to execute this computation",
    ],
)
def test_whatever_ran_out_of_memory_is_told_as_such(text: str) -> None:
    assert out_of_memory(RuntimeError(text))
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access"))


def test_a_failed_trial_leaves_nothing_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error's frames hold the network and the gradients' graph, on a GPU all its memory."""
    kept: list[weakref.ref[Any]] = []
    step = loop.step

    def failing(task: Any, model: torch.nn.Module, *rest: Any) -> Any:
        kept.append(weakref.ref(model))
        step(task, model, *rest)
        raise RuntimeError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(loop, "step", failing)
    monkeypatch.setattr(devices, "free", lambda: None)  # without the help of a collection
    planned = job(tmp_path, *SMALL[2:], "device=cpu")
    gc.collect()
    gc.disable()
    try:
        outcome = attempt(planned)
        assert outcome == MEMORY
        assert kept
        assert kept[0]() is None
    finally:
        gc.enable()
