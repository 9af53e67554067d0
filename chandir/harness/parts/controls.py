"""Controls that belong beside every claim: is it the smoothing, or only the larger step?

At lam = 1 both metrics double the step along the mean of the selected tensors. Two forms of h0 with
a matched step answer two different questions:

- ``h0_mean``: the learning rate of the selected tensors times 1 + lam, which matches the step along
  the mean, and enlarges every other one (weight decay included, as a learning rate does);
- ``h0_norm``: the plain gradient times |A f| / |f|, per tensor and step, which matches the norm.

They stand in a metric's place without being one: a class with ``install(optimizer, network)``,
which is called before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from chandir.axes import Target, select
from chandir.metrics import H0Lambda, Metric, Sobolev


def selected(network: nn.Module, scope: str) -> dict[nn.Parameter, str]:
    """The tensors of a scope and their names, as `chandir.attach` selects them."""
    return {target.parameter: target.name for target in select(network, "output", scope)}


@dataclass(frozen=True)
class MeanMatched:
    """The plain gradient, with 1 + lam times the learning rate on the tensors of the scope."""

    lam: float = 1.0
    scope: str = "conv"

    def __post_init__(self) -> None:
        """Check lam as the metric does whose step is matched."""
        H0Lambda(self.lam)

    @property
    def plain(self) -> bool:
        """Whether it changes nothing."""
        return self.lam == 0

    def install(self, optimizer: Optimizer, network: nn.Module) -> None:
        """Give the selected tensors groups of their own, before the others'."""
        faster = selected(network, self.scope)
        raised, others = [], []
        for group in optimizer.param_groups:
            mine = [parameter for parameter in group["params"] if parameter in faster]
            rest = [parameter for parameter in group["params"] if parameter not in faster]
            lr = group["lr"] * (1 + self.lam)
            if mine:
                raised.append({**group, "params": mine, "lr": lr, "base": lr})
            if rest:
                others.append({**group, "params": rest})
        optimizer.param_groups[:] = [*raised, *others]


@dataclass(frozen=True)
class NormMatched:
    """The plain gradient f of every selected tensor times |A f| / |f|; one of norm 0 stays.

    A is the Sobolev gradient of these settings, along the fibers of a direction.
    """

    lam: float = 1.0
    weight: float = 1.0
    h0_scale: float = 1.0
    direction: str = "output"
    scope: str = "conv"

    def __post_init__(self) -> None:
        """Check the settings as the metric does."""
        _ = self.metric

    @property
    def metric(self) -> Metric:
        """A."""
        return Sobolev(self.lam, self.weight, self.h0_scale)

    def install(self, optimizer: Optimizer, network: nn.Module) -> None:
        """Scale the gradients before each step."""
        metric, targets = self.metric, select(network, self.direction, self.scope)

        def before_step(stepping: Optimizer, args: Any, kwargs: Any) -> None:
            del stepping, args, kwargs
            for target in targets:
                if target.parameter.grad is not None:
                    target.parameter.grad.mul_(_ratio(metric, target, target.parameter.grad))

        optimizer.register_step_pre_hook(before_step)


def _ratio(metric: Metric, target: Target, grad: torch.Tensor) -> torch.Tensor:
    norm = grad.norm()
    matched = metric.gradient(target.view(grad), target.dim).norm()
    return torch.where(norm > 0, matched / norm, torch.ones_like(norm))
