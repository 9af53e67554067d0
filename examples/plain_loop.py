"""AdamW, a schedule, GradScaler, clipping: the metric acts after clipping, before weight decay.

python examples/plain_loop.py
"""

import torch
from torch import nn

import chandir


def network() -> nn.Module:
    """Return two convolutions and a classifier."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(512, 10)
    )


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eight random images of 8 x 8 and their classes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, 8, 8, generator=generator), torch.arange(8)


def train(steps: int = 20) -> nn.Module:
    """Train the network and return it."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    chandir.attach(optimizer, model, chandir.Sobolev())  # the one line
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    scaler = torch.amp.GradScaler("cpu")
    for step in range(steps):
        images, labels = batch(step)
        optimizer.zero_grad()
        scaler.scale(nn.functional.cross_entropy(model(images), labels)).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
    return model


if __name__ == "__main__":
    trained = train()
    images, labels = batch(0)
    print("loss", nn.functional.cross_entropy(trained(images), labels).item())
