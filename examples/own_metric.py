"""A metric of one's own: how much each frequency along the channels counts.

This one keeps the mean and the low frequencies, and damps the others to a floor: r_k = 1 for
k <= cutoff, else floor. Its inner product is positive definite, since every r_k is positive.

python examples/own_metric.py
"""

from dataclasses import dataclass

import torch
from torch import nn

import chandir


@dataclass(frozen=True)
class LowPass(chandir.Metric):
    """The gradient's low frequencies, and a floor of the others."""

    cutoff: int = 2
    floor: float = 0.1

    def response(self, n: int) -> torch.Tensor:
        """Return r_k = r_{n-k}, (n,) in float64."""
        k = torch.arange(n)
        return torch.where(torch.minimum(k, n - k) <= self.cutoff, 1.0, self.floor).double()


def train(steps: int = 20) -> nn.Module:
    """Train a convolution towards zero and return it."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chandir.attach(optimizer, model, LowPass())
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(1, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    return model


if __name__ == "__main__":
    train()
