"""The optimizer of a trial with its gradient metric attached, and its learning rate over epochs."""

from __future__ import annotations

import math
import warnings
from typing import Any

import hydra.utils
import torch
from torch import nn

import chandir
from chandir.harness import controls
from chandir.harness.schema import (
    H0,
    LS,
    Adam,
    Built,
    Config,
    Constant,
    Cosine,
    H0Lambda,
    H0Mean,
    H0Norm,
    Schedule,
    Sgd,
    Sobolev,
)


def build(config: Config, network: nn.Module, player: str) -> torch.optim.Optimizer:
    """The optimizer of one network; the metric rewrites its gradients before each step.

    Order in a step: metric, Laplacian smoothing (LS), weight decay, momentum, update.

    Args:
        config: the trial's.
        network: its parameters are trained.
        player: "generator" and "discriminator" have rates of their own.

    Raises:
        ValueError: if the metric's scope matches none of the network's parameters.
        TypeError: for a metric that the schema knows and this function does not.
    """
    metric = config.metric
    optimizer = _base(config.optimizer, _groups(config, network, player))
    handle = None
    if isinstance(metric, H0Lambda | Sobolev):
        handle = chandir.attach(optimizer, network, _build(metric), metric.direction, metric.scope)
    elif isinstance(metric, H0Norm):
        controls.match_norm(optimizer, network, _build(metric), metric.direction, metric.scope)
    elif not isinstance(metric, H0 | H0Mean):  # never plain gradients under another name
        raise TypeError(f"metric={metric.name}: nothing attaches it; expected its place in `build`")
    if isinstance(config.optimizer, LS):
        smoothing = chandir.LaplacianSmoothing(config.optimizer.sigma)
        direction, scope = config.optimizer.direction, config.optimizer.scope
        chandir.attach(optimizer, network, smoothing, direction, scope, after=handle)
    return optimizer


def _build(metric: Built) -> chandir.Metric:
    settings = metric.model_dump(by_alias=True, exclude={"name", "direction", "scope"})
    built: chandir.Metric = hydra.utils.instantiate(settings)
    return built


def _groups(config: Config, network: nn.Module, player: str) -> list[dict[str, Any]]:
    """Parameters with their learning rates; ``base`` is a group's rate before the schedule."""
    lr = _rate(config.optimizer, player)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not isinstance(config.metric, H0Mean):
        return [{"params": parameters, "lr": lr, "base": lr}]
    faster = controls.selected(network, config.metric.scope)
    others = [parameter for parameter in parameters if parameter not in faster]
    raised = lr * (1 + config.metric.lam)
    groups = [
        {"params": list(faster), "lr": raised, "base": raised},
        {"params": others, "lr": lr, "base": lr},
    ]
    return [group for group in groups if group["params"]]


def _rate(settings: Sgd | Adam, player: str) -> float:
    """The player's learning rate before the schedule."""
    rates = {"generator": settings.lr_g, "discriminator": settings.lr_d}
    lr = rates.get(player, settings.lr)
    assert lr is not None
    return lr


def _base(settings: Sgd | Adam, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    assert settings.weight_decay is not None
    if isinstance(settings, Adam):
        first, second = settings.betas
        # On CUDA the count of steps lives on the device, so that a graph can replay it.
        on_cuda = groups[0]["params"][0].is_cuda
        # capturable suits plain steps as well, but torch warns of it there.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
        return torch.optim.Adam(
            groups,
            betas=(first, second),
            weight_decay=settings.weight_decay,
            capturable=on_cuda,
        )
    return torch.optim.SGD(
        groups,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
    )


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state, which may come from another kind of device."""
    groups = [
        saved | ({"capturable": own["capturable"]} if "capturable" in own else {})
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict(state | {"param_groups": groups})


def rate(schedule: Schedule, epoch: int) -> float:
    """The factor on the learning rate in epoch 1, 2, ...

    step: factor^d after d = floor((epoch - 1) / every) drops. cosine: (1 + cos(pi t / every)) / 2
    with t = (epoch - 1) mod every, the warm restarts of Loshchilov and Hutter. constant: 1.
    """
    if isinstance(schedule, Constant):
        return 1.0
    assert schedule.every is not None
    if isinstance(schedule, Cosine):
        return (1 + math.cos(math.pi * ((epoch - 1) % schedule.every) / schedule.every)) / 2
    return schedule.factor ** ((epoch - 1) // schedule.every)


def begin_epoch(
    optimizers: dict[str, torch.optim.Optimizer], config: Config, epoch: int
) -> dict[str, float]:
    """Set the epoch's learning rates; forget momentum at a drop, if the setting says so.

    Returns:
        What the log says: ``lr``, or ``lr_<player>`` where there are several. A control's raised
        rates are not among them.
    """
    schedule = config.task.schedule
    factor = rate(schedule, epoch)
    dropped = epoch > 1 and factor != rate(schedule, epoch - 1)
    rates = {}
    for player, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * factor
        if dropped and isinstance(config.optimizer, Sgd) and config.optimizer.reset_momentum:
            optimizer.state.clear()
        name = "lr" if len(optimizers) == 1 else f"lr_{player}"
        rates[name] = _rate(config.optimizer, player) * factor
    return rates
