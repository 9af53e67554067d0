"""Sharded: gradients that torch's DTensor divides over processes, as ``fully_shard`` does.

Fibers along an axis that is not sharded are whole on each process, which needs nobody else's. Those
along a sharded one (and a sharded tensor in row-major order) are split; then

- a metric that adds a multiple of the mean (`H0Lambda`) sums its own part, and one all-reduce for
  all tensors makes the sums whole: as many numbers as there are fibers (`H0` needs none);
- any other gathers the tensor, one at a time, acts on the whole, and keeps its own part.

Every process of a mesh takes part in the same order, those without an entry included.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chandir.axes import Target
from chandir.metrics import Metric, operator_for, saturate, wide
from chandir.operators import AddMean

if TYPE_CHECKING:
    from typing import TypeGuard

    from torch.distributed.tensor import DTensor


def is_sharded(f: Tensor) -> TypeGuard[DTensor]:
    """Whether f is a DTensor."""
    return type(f) is not Tensor and hasattr(f, "full_tensor")


class Shard:
    """The part of a target's gradient that this process holds.

    Args:
        target: the parameter and its axis.
        grad: its gradient.

    Attributes:
        local: the part, a view of the gradient's memory.
        over: the dimensions of the gradient's mesh over which its fibers are split; none if each
            fiber is whole on one process.

    Raises:
        ValueError: the processes hold terms of a sum instead of parts.
    """

    def __init__(self, target: Target, grad: DTensor) -> None:
        self.target, self.grad = target, grad
        mesh, placements = grad.device_mesh, grad.placements
        if any(placement.is_partial() for placement in placements):
            raise ValueError(
                f"the gradient is placed as {placements}, of which a part is still a sum over "
                "processes: expected Shard or Replicate; redistribute it first"
            )
        self.local = grad.to_local()
        # With groups, the fibers of a transposed convolution run along parts of axis 0.
        self.axis = target.dim if target.groups == 1 else 0
        self.over = tuple(
            i
            for i, placement in enumerate(placements)
            if hasattr(placement, "dim") and mesh.size(i) > 1 and self.axis in (None, placement.dim)
        )


def prepare(metric: Metric, shards: list[Shard]) -> None:
    """Make the operators of gradients whose fibers are split, before any is written.

    Raises:
        ValueError: the metric has none for a fiber's length.
    """
    for shard in shards:
        operator_for(metric, shard.target.entries, wide(shard.local.dtype), shard.local.device)


def overwrite(metric: Metric, shards: list[Shard]) -> None:
    """Overwrite gradients whose fibers are split; every process calls it with the same ones."""
    sums: dict[tuple[Any, ...], list[tuple[Shard, AddMean, Tensor]]] = defaultdict(list)
    for shard in shards:
        dtype = wide(shard.local.dtype)
        operator = operator_for(metric, shard.target.entries, dtype, shard.local.device)
        if isinstance(operator, AddMean) and not operator.weight:  # H0
            shard.local.mul_(operator.scale)
        elif isinstance(operator, AddMean) and shard.target.groups == 1:
            axes = list(range(shard.local.ndim)) if shard.axis is None else [shard.axis]
            total = shard.local.sum(axes, keepdim=True, dtype=dtype)
            key = shard.grad.device_mesh, shard.over, dtype, total.device
            sums[key].append((shard, operator, total))
        else:
            _overwrite_gathered(metric, shard)
    for (mesh, over, _, device), found in sums.items():
        whole = _all_reduce([total for _, _, total in found], mesh, over, device)
        for (shard, operator, _), total in zip(found, whole, strict=True):
            part = shard.local.to(total.dtype) * operator.scale
            part.add_(total, alpha=operator.weight / shard.target.entries)
            shard.local.copy_(saturate(part, shard.local.dtype))


def _all_reduce(
    totals: list[Tensor], mesh: Any, over: tuple[int, ...], device: torch.device
) -> list[Tensor]:
    """Sum each tensor over dimensions of a mesh: in one call, on the mesh's kind of device."""
    import torch.distributed as dist

    flat = torch.cat([total.flatten() for total in totals]).to(mesh.device_type)
    for dimension in over:
        dist.all_reduce(flat, group=mesh.get_group(dimension))
    parts = flat.to(device).split([total.numel() for total in totals])
    return [part.view_as(total) for part, total in zip(parts, totals, strict=True)]


def _overwrite_gathered(metric: Metric, shard: Shard) -> None:
    """Gather a gradient, take the whole to the metric's, keep this process's part."""
    try:
        from torch.distributed.tensor import DTensor, Replicate
    except ImportError:  # torch 2.4
        from torch.distributed._tensor import DTensor, Replicate  # type: ignore[no-redef]

    mesh, placements, grad = shard.grad.device_mesh, shard.grad.placements, shard.grad
    if shard.local.device.type != mesh.device_type:  # offloaded
        grad = DTensor.from_local(
            shard.local.to(mesh.device_type),
            mesh,
            placements,
            run_check=False,
            shape=grad.shape,
            stride=grad.stride(),
        )
    whole = grad.full_tensor()
    f = shard.target.view(whole)
    f.copy_(metric.gradient(f, shard.target.dim))
    replicated = DTensor.from_local(whole, mesh, [Replicate()] * mesh.ndim, run_check=False)
    shard.local.copy_(replicated.redistribute(mesh, placements).to_local())
