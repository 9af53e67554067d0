"""What runs at the same time on one machine: stacks, processes, devices; and why, in a line.

On a CPU, processes of few threads beat one process of many for small networks, and stacks do not
pay. On a GPU, trials of one shape are stacked, where ``determinism=fast`` allows that; others run
in processes of their own, as many as cores and memory hold; tasks whose steps fill a device run one
on each. What follows from memory is an estimate on the safe side; whoever runs out halves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chandir.harness.base.errors import UserError
from chandir.harness.config.schema import Config
from chandir.harness.gpu import stack
from chandir.harness.sweep.plan import Job
from chandir.harness.sweep.pool import Packing
from chandir.harness.sweep.worker import Unit
from chandir.harness.trial import data, devices
from chandir.harness.trial.data import LoadedTask

CONTEXT = 2**30  # bytes that a process takes of a GPU's memory before it trains anything
SHARE = 0.8  # of the free memory that may be planned with
IMAGES = 2048  # a step of all lanes together; that more add nothing is an assumption


@dataclass(frozen=True)
class Gpu:
    """A device that trials may run on.

    Attributes:
        visible: what its processes find in CUDA_VISIBLE_DEVICES; None: what is there already.
        free: bytes.
    """

    visible: str | None
    free: int


def choose(jobs: Sequence[Job], workers: int, lanes: int) -> list[Packing]:
    """How to run a sweep; the packings follow each other.

    Args:
        jobs: the trials.
        workers: processes; 0 chooses.
        lanes: of a stack; 0 chooses, 1 stacks nothing.
    """
    groups: dict[str, list[Job]] = {}
    configs: dict[str, Config] = {}
    gpus = None
    for job in jobs:
        config = job.resolved.config
        gpus = find(config) if gpus is None else gpus
        kind = stack.alike(config) if gpus or lanes > 1 else ""
        groups.setdefault(kind, []).append(job)
        configs.setdefault(kind, config)
    return [
        _pack(group, configs[kind], gpus or [], workers, lanes) for kind, group in groups.items()
    ]


def find(config: Config) -> list[Gpu]:
    """The GPUs that a sweep may use: the one named, or all that torch sees; none on a CPU."""
    device = devices.select(config)
    if device.type != "cuda":
        return []
    if device.index is not None or torch.cuda.device_count() == 1:
        return [Gpu(None, torch.cuda.mem_get_info(device)[0])]
    known = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = known.split(",")[:count] if known else map(str, range(count))
    return [Gpu(name, torch.cuda.mem_get_info(index)[0]) for index, name in enumerate(names)]


def _pack(jobs: list[Job], config: Config, gpus: list[Gpu], workers: int, lanes: int) -> Packing:
    cores = len(os.sched_getaffinity(0))
    if not gpus and lanes <= 1:
        count = min(workers or max(1, cores // config.threads), len(jobs))
        why = f"processes of threads={config.threads} on {cores} cores"
        return Packing([Unit([job]) for job in jobs], {None: count}, why)
    device = devices.select(config)
    task = data.load(config, device)
    unfit = stack.unfit(config, task)
    if unfit and lanes > 1:
        raise UserError(f"hydra.launcher.stack={lanes} has no effect: {unfit}")
    if not unfit and lanes != 1:
        return _stacks(jobs, config, task, gpus, workers, lanes)
    if not task.static:
        each, why = 1, f"one on each of {len(gpus)} GPUs, which a step of it fills"
    else:
        room = min(gpu.free for gpu in gpus) * SHARE
        need = CONTEXT + _held(device) + lane_bytes(config, task)
        each = max(1, min(cores // config.threads // len(gpus), int(room // need)))
        why = (
            f"processes on {len(gpus)} GPUs, by {cores} cores and about {need / 2**30:.1f} of "
            f"{room / 2**30:.1f} GiB a trial"
        )
        why += f"; not stacked: {unfit}" if unfit else ""
        if shutil.which("nvidia-cuda-mps-control"):
            why += "; nvidia-cuda-mps-control, if you start it, lets processes overlap on a GPU"
    places = _spread(min(workers or each * len(gpus), len(jobs)), gpus)
    return Packing([Unit([job]) for job in jobs], places, why)


def _stacks(
    jobs: list[Job], config: Config, task: LoadedTask, gpus: list[Gpu], workers: int, lanes: int
) -> Packing:
    device = devices.select(config)
    count = workers or len(gpus) or max(1, len(os.sched_getaffinity(0)) // config.threads)
    why = f"stacks of up to {lanes}, as asked for"
    if not lanes:
        each = -(-count // len(gpus))  # processes on a GPU
        room = min(gpu.free for gpu in gpus) * SHARE / each - CONTEXT - _held(device)
        need = lane_bytes(config, task)
        assert config.task.batch_size is not None
        lanes = max(1, min(int(room // need), IMAGES // config.task.batch_size))
        why = (
            f"stacks of up to {lanes} on {len(gpus)} GPUs, by about {need / 2**30:.2f} of "
            f"{room / 2**30:.1f} GiB a trial and {IMAGES} images a step"
        )
    count = min(count, -(-len(jobs) // lanes) if not gpus else len(jobs))
    lanes = min(lanes, -(-len(jobs) // count))
    units = [Unit(jobs[start::count], lanes) for start in range(count)]
    return Packing(units, _spread(count, gpus) if gpus else {None: count}, why)


def _spread(count: int, gpus: list[Gpu]) -> dict[str | None, int]:
    """Processes on each GPU, one after the other."""
    sizes = [len(range(index, count, len(gpus))) for index in range(len(gpus))]
    return {gpu.visible: size for gpu, size in zip(gpus, sizes, strict=True) if size}


def _held(device: torch.device) -> int:
    """Bytes of the data: what this process, which has loaded it, holds of its GPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def lane_bytes(config: Config, task: LoadedTask) -> int:
    """Memory of one trial of a static task, in bytes, beside context and data.

    Twelve times its weights (they, gradients, moments, and three copies of all but gradients while
    a graph is held to the plain step), and three times what autograd keeps of a forward pass (for
    the backward pass, and for the memory that a graph has apart). The latter is counted by a pass
    that computes nothing.
    """
    assert config.task.batch_size is not None
    count = config.task.batch_size
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    model = data.build_model(config)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    (player,) = task.players(model)
    device = devices.select(config)
    indices = torch.zeros(count, dtype=torch.int64, device=device)
    batch: Any = task.batch(indices, torch.zeros(count, task.randoms, device=device))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        task.loss(player, model.to("meta").train(), tuple(part.to("meta") for part in batch))
    return 12 * weights + 3 * kept
