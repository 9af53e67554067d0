"""An optimizer that drives another (SAM): attach to the one inside, whose step() updates weights.

python examples/sam.py
"""

import torch
from torch import nn

import chandir


class SAM:
    """Sharpness-aware minimisation, as it is often written, around a base optimizer."""

    def __init__(self, base: torch.optim.Optimizer, rho: float = 0.05) -> None:
        self.base, self.rho = base, rho
        self.moved: dict[nn.Parameter, torch.Tensor] = {}

    @torch.no_grad()
    def first_step(self) -> None:
        """Climb to the sharp point nearby."""
        parameters = [p for group in self.base.param_groups for p in group["params"]]
        norm = torch.stack([p.grad.norm() for p in parameters]).norm()
        for p in parameters:
            self.moved[p] = self.rho * p.grad / norm
            p.add_(self.moved[p])
        self.base.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        """Climb down, and step by the gradient found there."""
        for p, moved in self.moved.items():
            p.sub_(moved)
        self.base.step()
        self.base.zero_grad()


def train(steps: int = 20) -> nn.Module:
    """Train a convolution towards zero and return it."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 16, 3)
    sam = SAM(torch.optim.SGD(model.parameters(), lr=0.1))
    chandir.attach(sam.base, model, chandir.Sobolev())
    for _ in range(steps):
        for move in (sam.first_step, sam.second_step):
            model(torch.ones(1, 3, 8, 8)).square().mean().backward()
            move()
    return model


if __name__ == "__main__":
    train()
