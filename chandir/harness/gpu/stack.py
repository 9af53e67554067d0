"""Trials side by side: one stream of kernels trains several small networks at once.

The networks of the lanes (trials of a stack) have one shape; their weights, data order, metrics,
learning rates and optimizers' settings may differ. In an epoch, weights and buffers of all lanes
lie in tensors (lanes, ...), and the lanes' own are views of these: optimizers, metrics and
checkpoints know nothing of the stack. Forward and backward are those of the task, vectorised over
the lanes by `torch.func.vmap`; each lane's optimizer then steps by itself. Nothing mixes lanes, so
one that diverges changes no other's numbers.

Last bits differ from those of a trial alone, since other kernels compute them: a stack takes
``determinism=fast``, which is part of the cell. How many lanes there were is in provenance.json.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from chandir.harness.base.files import to_json
from chandir.harness.config.schema import Config
from chandir.harness.trial import graph, loop
from chandir.harness.trial.data import LoadedTask
from chandir.harness.trial.devices import autocast
from chandir.harness.trial.loop import Epoch, Request

BRANCHES = 8  # of a graph, in which the lanes' optimizers run; not measured
Named = dict[str, Tensor]


def alike(config: Config) -> str:
    """What trials of one stack have in common, as text."""
    task = config.task
    common = config.model_dump(
        by_alias=True,
        include={"model", "data", "device", "precision", "determinism", "graphs", "threads"},
    )
    return to_json([task.target, task.model_extra, task.batch_size, common])


def unfit(config: Config, task: LoadedTask) -> str:
    """Why a trial cannot be part of a stack, with the remedy; empty if it can."""
    if config.determinism != "fast":
        return f"determinism={config.determinism} fixes the bits of a trial alone; set it to fast"
    if not task.static:
        return f"task={config.task.name} has no step that can be stacked; leave its trials apart"
    if config.precision == "bf16":
        # torch 2.14's vmap adds biases in float32, whatever autocast says, and its backward of
        # batch normalisation refuses bfloat16 beside float32 statistics: every network has either.
        return "precision=bf16 is lost in a stack; use tf32 or fp32, or leave its trials apart"
    return ""


def train_epoch(lanes: Sequence[Request]) -> list[Epoch]:
    """One epoch of every lane.

    Args:
        lanes: requests of trials that are `alike`.
    """
    start, first = time.monotonic(), lanes[0]
    orders = [
        loop.batches_of_epoch(lane.task, lane.streams, lane.config, lane.device) for lane in lanes
    ]
    batches = [
        (torch.stack([indices for indices, _ in step]), torch.stack([draws for _, draws in step]))
        for step in zip(*orders, strict=True)
    ]
    models = [lane.model.train() for lane in lanes]
    weights, buffers = _join(models)

    def body(indices: Tensor, draws: Tensor) -> graph.Outcome:
        return step(lanes, weights, buffers, indices, draws)

    def tick() -> None:
        for lane in lanes:
            lane.tick()

    optimizers = [optimizer for lane in lanes for optimizer in lane.optimizers.values()]
    outcomes = graph.outcomes(body, batches, models, optimizers, first.config, first.task)
    with closing(outcomes):
        losses, scores = loop.tally(outcomes, len(batches), tick)
    _part(models)
    sizes = [len(indices) for indices, _ in orders[0]]
    epochs = [
        loop.measured(
            {player: values[:, k] for player, values in losses.items()},
            {score: values[k] for score, values in scores.items()},
            sizes,
            start,
        )
        for k in range(len(lanes))
    ]
    return [replace(epoch, lanes=len(lanes)) for epoch in epochs]


def step(
    lanes: Sequence[Request], weights: Named, buffers: Named, indices: Tensor, draws: Tensor
) -> graph.Outcome:
    """One optimizer step of every lane, each on its own batch.

    Args:
        lanes: their requests.
        weights: of all lanes, (lanes, ...) each.
        buffers: likewise.
        indices: (lanes, b) int64.
        draws: (lanes, b, randoms).

    Returns:
        The player's losses (lanes,), and sums of the scores (lanes, ...).
    """
    first = lanes[0]
    task, network, config, device = first.task, first.model, first.config, first.device
    (player,) = first.optimizers
    batch = task.batch(indices.flatten(), draws.flatten(0, 1))

    def loss_of(weights: Named, buffers: Named, *batch: Tensor) -> tuple[Tensor, Named]:
        model: Any = partial(functional_call, network, (weights, buffers))
        with autocast(config, device):
            return task.loss(player, model, batch)

    parts = [part.unflatten(0, (len(lanes), -1)) for part in batch]
    measured: Any = vmap(loss_of, randomness="different")(weights, buffers, *parts)
    losses, scores = measured
    # The sum's gradient is 1 in every lane: a lane's NaN stays its own.
    trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
    gradients = torch.autograd.grad(losses.sum(), list(trained.values()))
    for k, lane in enumerate(lanes):
        own = dict(lane.model.named_parameters())
        for name, gradient in zip(trained, gradients, strict=True):
            own[name].grad = gradient[k]
    _apart([lane.optimizers[player].step for lane in lanes])
    return {player: losses.detach()}, scores


def _apart(works: Sequence[Callable[[], object]]) -> None:
    """Do what does not depend on each other; in a graph that is recorded, as branches of it.

    A lane's optimizer is many small kernels, of which a GPU can run several at a time.
    """
    if not torch.cuda.is_available() or not torch.cuda.is_current_stream_capturing():
        for work in works:
            work()
        return
    trunk = torch.cuda.current_stream()
    branches = _branches(torch.cuda.current_device())[: len(works)]
    for branch in branches:
        branch.wait_stream(trunk)
    try:
        for number, work in enumerate(works):
            with torch.cuda.stream(branches[number % len(branches)]):
                work()
    finally:  # CUDA ends no recording whose branches are open
        for branch in branches:
            trunk.wait_stream(branch)


@lru_cache
def _branches(device: int) -> list[torch.cuda.Stream]:
    """Streams of a device, always the same: cuBLAS keeps a workspace for every stream it meets."""
    return [torch.cuda.Stream(device) for _ in range(BRANCHES)]


def _join(models: Sequence[nn.Module]) -> tuple[Named, Named]:
    """Lay weights and buffers of all lanes side by side; the lanes' own become views of that."""
    return (
        _side_by_side([dict(model.named_parameters()) for model in models]),
        _side_by_side([dict(model.named_buffers()) for model in models]),
    )


def _side_by_side(lanes: Sequence[Mapping[str, Tensor]]) -> Named:
    together = {}
    for name, first in lanes[0].items():
        together[name] = torch.stack([lane[name].detach() for lane in lanes])
        for lane, own in zip(lanes, together[name].unbind(), strict=True):
            lane[name].data = own
        together[name].requires_grad_(first.requires_grad)
    return together


def _part(models: Sequence[nn.Module]) -> None:
    """Give every lane tensors of its own again: a checkpoint would save the whole stack."""
    for model in models:
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.grad = None
            tensor.data = tensor.data.clone()
