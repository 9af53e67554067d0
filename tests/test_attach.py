"""What attach takes: steps that call steps, odd gradients; and what it refuses at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import chandir


class Calls(torch.optim.SGD):
    """As optimizers that clip gradients are often made: a step that calls its base's."""

    def step(self, closure: Any = None) -> Any:
        """Step as SGD does."""
        return super().step(closure)


def test_a_step_that_calls_its_bases_changes_gradients_once() -> None:
    conv = nn.Conv2d(3, 8, 3, bias=False)
    optimizer = Calls(conv.parameters(), lr=0.1)
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)  # from here on SGD.step calls hooks, too
    chandir.attach(optimizer, conv, chandir.H0Lambda())
    for _ in range(2):
        conv.weight.grad = torch.ones_like(conv.weight)
        optimizer.step()
        assert torch.equal(conv.weight.grad, 2 * torch.ones_like(conv.weight))


def test_a_step_that_fails_does_not_hide_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(3, 8, 3, bias=False)
    optimizer = Calls(conv.parameters(), lr=0.1)
    chandir.attach(optimizer, conv, chandir.H0Lambda())
    conv.weight.grad = torch.ones_like(conv.weight)
    with monkeypatch.context() as patch:
        patch.setattr(optimizer, "_init_group", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            optimizer.step()
    conv.weight.grad = torch.ones_like(conv.weight)
    optimizer.step()
    assert torch.equal(conv.weight.grad, 2 * torch.ones_like(conv.weight))


def test_an_expanded_gradient() -> None:
    conv = nn.Conv2d(3, 8, 3, bias=False)
    conv.weight.grad = torch.ones(1).expand_as(conv.weight)
    chandir.apply_(conv, chandir.H0Lambda())
    assert torch.equal(conv.weight.grad, 2 * torch.ones_like(conv.weight))


def test_what_metrics_and_optimizers_cannot_be_is_said_at_once() -> None:
    conv = nn.Conv2d(3, 8, 3)
    optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)

    class Own(chandir.Metric):
        def response(self, n: int) -> torch.Tensor:
            return torch.ones(n, dtype=torch.float64)

    class Overrides(Own):
        def gradient(self, f: Any, dim: Any = 0) -> Any:  # type: ignore[misc]
            return f

    class Negative(Own):
        def response(self, n: int) -> torch.Tensor:
            return -super().response(n)

    class Unhashable(Own):
        def __eq__(self, other: object) -> bool:
            return self is other

    class Wrapper(torch.optim.Optimizer):
        def __init__(self) -> None:
            self.param_groups = optimizer.param_groups

    for metric, words in (
        (Overrides(), r"Overrides overrides gradient\(\)"),
        (Negative(), "expected positive, finite numbers"),
        (Unhashable(), "Unhashable cannot be hashed"),
    ):
        with pytest.raises(ValueError, match=words):
            chandir.attach(optimizer, conv, metric)
    with pytest.raises(ValueError, match="Wrapper wraps an optimizer"):
        chandir.attach(Wrapper(), conv, Own())
    chandir.attach(optimizer, conv, Own())
