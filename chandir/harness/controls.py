"""Controls that belong beside every claim: is it the smoothing, or only the larger step?

At lam = 1 both metrics double the step along the mean of the selected tensors. Two forms of h0 with
a matched step answer two different questions:

- ``h0_mean``: the learning rate of the selected tensors times 1 + lam, which matches the step along
  the mean, and enlarges every other one (weight decay included, as a learning rate does);
- ``h0_norm``: the plain gradient times |A f| / |f|, per tensor and step, which matches the norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from chandir.axes import Target, select
from chandir.metrics import Metric


def selected(network: nn.Module, scope: str) -> dict[nn.Parameter, str]:
    """The tensors of a scope and their names, as `chandir.attach` selects them."""
    return {target.parameter: target.name for target in select(network, "output", scope)}


def match_norm(
    optimizer: torch.optim.Optimizer,
    network: nn.Module,
    metric: Metric,
    direction: str,
    scope: str,
) -> None:
    """Before each step, scale every selected gradient f by |A f| / |f|; one of norm 0 stays.

    Args:
        optimizer: holds the network's parameters.
        network: its tensors are selected as `chandir.attach` does.
        metric: A, whose gradient's norm is matched.
        direction: of A's fibers.
        scope: which tensors.
    """
    targets = select(network, direction, scope)

    def before_step(stepping: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        del stepping, args, kwargs
        for target in targets:
            if target.parameter.grad is not None:
                target.parameter.grad.mul_(_ratio(metric, target, target.parameter.grad))

    optimizer.register_step_pre_hook(before_step)


def _ratio(metric: Metric, target: Target, grad: torch.Tensor) -> torch.Tensor:
    norm = grad.norm()
    matched = metric.gradient(target.view(grad), target.dim).norm()
    return torch.where(norm > 0, matched / norm, torch.ones_like(norm))
