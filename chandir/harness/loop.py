"""One epoch. Nothing in it waits for the device: losses and scores stay there until its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chandir.harness.data import LoadedTask
from chandir.harness.devices import autocast
from chandir.harness.schema import Config
from chandir.harness.seeding import Streams


@dataclass(frozen=True)
class Epoch:
    """What an epoch of training measured.

    Attributes:
        scores: ``train_loss`` (means over the samples) and the task's training scores.
        steps: optimizer steps of one network.
        bad_step: the first step (from 0) whose loss was not finite, or None.
    """

    scores: dict[str, float]
    steps: int
    bad_step: int | None


def steps_per_epoch(task: LoadedTask, config: Config) -> int:
    """Batches in an epoch; a task may drop the last, partial one."""
    assert config.task.batch_size is not None
    if task.drop_last:
        return task.train_size // config.task.batch_size
    return -(-task.train_size // config.task.batch_size)


def train_epoch(
    task: LoadedTask,
    model: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    streams: Streams,
    config: Config,
    device: torch.device,
    tick: Callable[[], None],
) -> Epoch:
    """Every training sample once, in the trial's own order; the last batch may be small."""
    size = task.train_size
    order = torch.randperm(size, generator=streams.order).to(device)
    uniforms = torch.rand(size, task.randoms, generator=streams.augment).to(device)
    assert config.task.batch_size is not None
    batch_size = config.task.batch_size
    batches = list(zip(order.split(batch_size), uniforms.split(batch_size), strict=True))
    batches = batches[: steps_per_epoch(task, config)]
    size = sum(len(indices) for indices, _ in batches)
    losses = {player: torch.zeros(len(batches), device=device) for player in optimizers}
    totals: dict[str, Tensor] = {}
    model.train()
    for step, (indices, draws) in enumerate(batches):
        batch = task.batch(indices, draws)
        for player, optimizer in optimizers.items():
            with autocast(config, device):
                loss, sums = task.loss(player, model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()  # the metric acts here, before weight decay and momentum
            losses[player][step] = loss.detach()
            for score, value in sums.items():
                totals[score] = totals[score] + value if score in totals else value
        tick()
    weights = torch.tensor([len(indices) / size for indices, _ in batches])
    return _measured(losses, totals, weights, size)


def _measured(
    losses: dict[str, Tensor], totals: dict[str, Tensor], weights: Tensor, size: int
) -> Epoch:
    scores, bad = {}, None
    for player, values in losses.items():
        values = values.cpu()  # the host waits for the device here, once an epoch
        name = "train_loss" if len(losses) == 1 else f"train_loss_{player}"
        scores[name] = float(values.double() @ weights.double())
        wrong = (~values.isfinite()).nonzero()
        if len(wrong):
            bad = min(int(wrong[0]), len(values) if bad is None else bad)
    scores |= {f"train_{score}": _score(total, size) for score, total in totals.items()}
    return Epoch(scores, len(weights), bad)


def _score(total: Tensor, size: int) -> float:
    """A sum over the samples to their mean; rows (numerator, denominator) to their mean quotient.

    Rows whose denominator is 0, such as classes that never occurred, are left out.
    """
    if total.dim() == 0:
        return float(total) / size
    numerator, denominator = total.double().cpu().unbind(1)
    quotients = (numerator / denominator)[denominator > 0]
    return float(quotients.mean())
