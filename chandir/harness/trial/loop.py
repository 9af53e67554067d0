"""One epoch. Nothing in it waits for the device: losses and scores stay there until its end.

What a step is stands in `step`, once: the plain loop, the CUDA graph (`graph`) and the stack of
trials (`stack`) run the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from chandir.harness.config.schema import Config
from chandir.harness.trial import graph
from chandir.harness.trial.data import LoadedTask
from chandir.harness.trial.devices import autocast
from chandir.harness.trial.seeding import Streams

Batches = list[tuple[Tensor, Tensor]]  # indices (b,) int64 and draws (b, randoms) of each batch


class Request(NamedTuple):
    """An epoch that a trial asks for, as the arguments of `train_epoch`."""

    task: LoadedTask
    model: nn.Module
    optimizers: dict[str, torch.optim.Optimizer]
    streams: Streams
    config: Config
    device: torch.device
    tick: Callable[[], None]


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training measured.

    Attributes:
        scores: ``train_loss`` (means over the samples) and the task's training scores.
        steps: optimizer steps of one network.
        bad_step: the first step (from 0) whose loss was not finite, or None.
        seconds: that it took; of a stack, all its trials together.
        lanes: trials that it trained.
    """

    scores: dict[str, float]
    steps: int
    bad_step: int | None
    seconds: float
    lanes: int = 1


def steps_per_epoch(task: LoadedTask, config: Config) -> int:
    """Batches in an epoch; a task may drop the last, partial one."""
    assert config.task.batch_size is not None
    if task.drop_last:
        return task.train_size // config.task.batch_size
    return -(-task.train_size // config.task.batch_size)


def batches_of_epoch(
    task: LoadedTask, streams: Streams, config: Config, device: torch.device
) -> Batches:
    """Every training sample once, in the trial's own order; the last batch may be small."""
    size = task.train_size
    order = torch.randperm(size, generator=streams.order).to(device)
    uniforms = torch.rand(size, task.randoms, generator=streams.augment).to(device)
    assert config.task.batch_size is not None
    batch_size = config.task.batch_size
    batches = list(zip(order.split(batch_size), uniforms.split(batch_size), strict=True))
    return batches[: steps_per_epoch(task, config)]


def step(
    task: LoadedTask,
    model: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    config: Config,
    device: torch.device,
    indices: Tensor,
    draws: Tensor,
) -> graph.Outcome:
    """One optimizer step of each network on one batch, without waiting for the device.

    Returns:
        Each player's loss, and sums over the batch of the training scores.
    """
    batch = task.batch(indices, draws)
    losses: dict[str, Tensor] = {}
    scores: dict[str, Tensor] = {}
    for player, optimizer in optimizers.items():
        with autocast(config, device):
            loss, sums = task.loss(player, model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()  # the metric acts here, before weight decay and momentum
        losses[player] = loss.detach()
        add(scores, sums)
    return losses, scores


def train_epoch(
    task: LoadedTask,
    model: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    streams: Streams,
    config: Config,
    device: torch.device,
    tick: Callable[[], None],
) -> Epoch:
    """One epoch of one trial."""
    start = time.monotonic()
    batches = batches_of_epoch(task, streams, config, device)
    model.train()

    def body(indices: Tensor, draws: Tensor) -> graph.Outcome:
        return step(task, model, optimizers, config, device, indices, draws)

    outcomes = graph.outcomes(body, batches, [model], list(optimizers.values()), config, task)
    with closing(outcomes):  # a recording and its memory go with the epoch, whatever ends it
        losses, scores = tally(outcomes, len(batches), tick)
    return measured(losses, scores, [len(indices) for indices, _ in batches], start)


def tally(outcomes: Iterable[graph.Outcome], steps: int, tick: Callable[[], None]) -> graph.Outcome:
    """Run the steps of an epoch, and keep what they measured on the device.

    Returns:
        Losses by step (steps, ...), sums of the scores over all steps (...).
    """
    losses: dict[str, Tensor] = {}
    scores: dict[str, Tensor] = {}
    for number, (of_step, sums) in enumerate(outcomes):
        for player, loss in of_step.items():
            if number == 0:
                losses[player] = loss.new_zeros((steps, *loss.shape), dtype=torch.float32)
            losses[player][number] = loss
        add(scores, sums)
        tick()
    return losses, scores


def add(totals: dict[str, Tensor], sums: dict[str, Tensor]) -> None:
    """Add to each total; the first sum is copied, for a graph writes the next one over it."""
    for score, value in sums.items():
        totals[score] = totals[score] + value if score in totals else value.clone()


def measured(
    losses: dict[str, Tensor], totals: dict[str, Tensor], sizes: Sequence[int], start: float
) -> Epoch:
    """What an epoch came to; the host waits for the device here, once an epoch.

    Args:
        losses: each player's, by step.
        totals: sums of the scores over the samples.
        sizes: samples of each step.
        start: of the epoch, by the monotonic clock.
    """
    size = sum(sizes)
    weights = torch.tensor([count / size for count in sizes])
    scores, bad = {}, None
    for player, on_device in losses.items():
        values = on_device.cpu()
        name = "train_loss" if len(losses) == 1 else f"train_loss_{player}"
        scores[name] = float(values.double() @ weights.double())
        wrong = (~values.isfinite()).nonzero()
        if len(wrong):
            bad = min(int(wrong[0]), len(values) if bad is None else bad)
    scores |= {f"train_{score}": _score(total, size) for score, total in totals.items()}
    return Epoch(scores, len(weights), bad, time.monotonic() - start)


def _score(total: Tensor, size: int) -> float:
    """A sum over the samples to their mean; rows (numerator, denominator) to their mean quotient.

    Rows whose denominator is 0, such as classes that never occurred, are left out.
    """
    if total.dim() == 0:
        return float(total) / size
    numerator, denominator = total.double().cpu().unbind(1)
    quotients = (numerator / denominator)[denominator > 0]
    return float(quotients.mean())
