"""Weights sharded over processes: two and four train as one does, and none waits for ever."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FullyShardedDataParallel,
    MixedPrecisionPolicy,
    fully_shard,
)
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor

import chandir
from chandir import H0, H0Lambda, LaplacianSmoothing, Metric, Sobolev
from chandir.axes import DIRECTIONS
from tests.mesh import batch, network, together

METRICS = (H0(), H0Lambda(0.5), Sobolev(), LaplacianSmoothing(0.5))
CELLS = ((H0Lambda(0.5), "output"), (Sobolev(), "output"), (H0Lambda(), "rasterized"))
pytestmark = pytest.mark.slow


def steps(
    model: nn.Module, metric: Metric, direction: str, part: slice, accumulate: int = 1
) -> list[torch.Tensor]:
    """Two steps on a part of each batch; then the whole weights."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    chandir.attach(optimizer, model, metric, direction, "all")
    for step in range(2):
        optimizer.zero_grad()
        for k in range(accumulate):
            if accumulate > 1 and isinstance(model, fully_shard_type()):
                model.set_requires_gradient_sync(k == accumulate - 1)
            images, labels = batch(10 * step + k)
            dtype = next(model.parameters()).dtype
            out = model(images[part].to(dtype)).float()
            nn.functional.cross_entropy(out, labels[part]).backward()
        optimizer.step()
    return [
        (p.full_tensor() if isinstance(p, DTensor) else p).detach().clone()
        for p in model.parameters()
    ]


def fully_shard_type() -> type:
    from torch.distributed.fsdp import FSDPModule

    return FSDPModule


def shard(model: nn.Module, how: str) -> nn.Module:
    processes = dist.get_world_size()
    options: dict[str, Any] = {}
    if how == "hybrid":
        options["mesh"] = init_device_mesh(
            "cpu", (2, processes // 2), mesh_dim_names=("replicate", "shard")
        )
    else:
        options["mesh"] = init_device_mesh("cpu", (processes,))
    if how == "offload":
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=False)
    if how == "mixed":
        options["mp_policy"] = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32
        )
    if how == "columns":
        options["shard_placement_fn"] = lambda p: Shard(
            int(p.ndim > 1 and p.shape[1] % processes == 0)
        )
    fully_shard(model[4], **options)
    fully_shard(model, **options)
    return model


def sharded_training(hows: tuple[str, ...]) -> dict[Any, list[torch.Tensor]]:
    rank, width = dist.get_rank(), 8 // dist.get_world_size()
    part = slice(rank * width, (rank + 1) * width)
    return {
        (how, *cell): steps(shard(network(), how), *cell, part, 2 if how == "accumulated" else 1)
        for how in hows
        for cell in CELLS
    }


@pytest.mark.parametrize(
    ("processes", "hows"),
    [(2, ("plain", "accumulated", "offload", "mixed")), (4, ("plain", "hybrid", "columns"))],
)
def test_processes_equal_one(processes: int, hows: tuple[str, ...], tmp_path: Path) -> None:
    everyone = together(sharded_training, processes, tmp_path, hows)
    for (how, metric, direction), weights in everyone[0].items():
        tolerance = {"rtol": 1e-4, "atol": 2e-6}
        if how == "mixed":
            tolerance = {"rtol": 0.1, "atol": 2e-2}  # bfloat16's
            expected = mixed_precision_twin(network(), metric, direction)
        else:
            accumulate = 2 if how == "accumulated" else 1
            expected = steps(network(), metric, direction, slice(None), accumulate)
        for mine, one in zip(weights, expected, strict=True):
            torch.testing.assert_close(mine, one, **tolerance)
        for theirs in everyone[1:]:
            assert all(map(torch.equal, weights, theirs[how, metric, direction]))


def mixed_precision_twin(model: nn.Module, metric: Metric, direction: str) -> list[torch.Tensor]:
    """Compute in bfloat16 on each process's part, with float32 weights and sums."""
    low = network(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    chandir.attach(optimizer, model, metric, direction, "all")
    for step in range(2):
        optimizer.zero_grad()
        for part in (slice(0, 4), slice(4, 8)):
            low.zero_grad()
            for p, q in zip(low.parameters(), model.parameters(), strict=True):
                p.data.copy_(q)
            images, labels = batch(10 * step)
            out = low(images[part].bfloat16()).float()
            nn.functional.cross_entropy(out, labels[part]).backward()
            for p, q in zip(low.parameters(), model.parameters(), strict=True):
                half = p.grad.float() / 2
                q.grad = half if q.grad is None else q.grad + half
        optimizer.step()
    return [p.detach() for p in model.parameters()]


def gradients() -> bool:
    """The metrics on sharded gradients alone, in float64, against the whole ones."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    whole, model = network(torch.float64), network(torch.float64)
    fully_shard(model, mesh=mesh)
    for metric in METRICS:
        for direction in DIRECTIONS:
            for p, q in zip(whole.parameters(), model.parameters(), strict=True):
                generator = torch.Generator().manual_seed(1)
                p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
                q.grad = distribute_tensor(p.grad, mesh, q.placements)
            chandir.apply_(whole, metric, direction, "all")
            chandir.apply_(model, metric, direction, "all")
            for p, q in zip(whole.parameters(), model.parameters(), strict=True):
                torch.testing.assert_close(q.grad.full_tensor(), p.grad, rtol=1e-12, atol=1e-12)
    return True


def test_the_gradient_equals_one_processs_to_rounding(tmp_path: Path) -> None:
    assert together(gradients, 4, tmp_path) == [True] * 4


def messages() -> list[str]:
    """What is refused, on every process alike."""
    found = []
    metric = H0Lambda()

    def refused(call: Any) -> None:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            call()
        found.append(str(caught.value))

    for original in (False, True):
        flat = FullyShardedDataParallel(
            network(), device_id=torch.device("cpu"), use_orig_params=original
        )
        optimizer = torch.optim.SGD(flat.parameters(), lr=0.1)
        for direction, scope in (("output", "conv"), ("rasterized", "all")):
            refused(partial(chandir.attach, optimizer, flat, metric, direction, scope))
    model = nn.Conv2d(3, 4, 1)
    zero = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.1)
    refused(lambda: chandir.attach(zero.optim, model, metric))
    chandir.attach(zero, model, metric)
    model.weight.grad = torch.ones_like(model.weight)
    zero.step()
    assert torch.equal(model.weight.grad, 2 * torch.ones_like(model.weight))
    model = nn.Conv2d(3, 4, 1, bias=False)
    fully_shard(model)
    local = torch.ones(4, 3, 1, 1)
    model.weight = nn.Parameter(DTensor.from_local(local, model.weight.device_mesh, [Partial()]))
    model.weight.grad = model.weight.detach()
    refused(lambda: chandir.apply_(model, metric))
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chandir.attach(optimizer, model, metric)
    flat = FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True)
    for parameter in flat.parameters():
        parameter.grad = torch.ones_like(parameter)
    refused(optimizer.step)
    model = nn.Conv2d(3, 4, 1)
    zero = ZeroRedundancyOptimizer(
        model.parameters(), torch.optim.SGD, overlap_with_ddp=True, lr=0.1
    )
    refused(lambda: chandir.attach(zero, model, metric))
    return found


def test_what_cannot_be_served_is_refused_on_every_process(tmp_path: Path) -> None:
    first, second = together(messages, 2, tmp_path)
    assert first == second
    assert all("shard the model by torch's fully_shard" in message for message in first[:4])
    assert "attach to the ZeroRedundancyOptimizer, on every process" in first[4]
    assert "still a sum over processes" in first[5]
    assert "shard the model by torch's fully_shard" in first[6], "flattened after attach"
    assert "make it with overlap_with_ddp=False" in first[7]
