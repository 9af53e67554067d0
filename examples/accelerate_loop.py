"""Accelerate: attach to the optimizer before prepare() wraps it.

With FSDP, where prepare() shards the model and gives the optimizer new parameters, attach after it:
``chandir.attach(prepared_optimizer.optimizer, prepared_model, metric)``.

python examples/accelerate_loop.py
"""

import torch
from accelerate import Accelerator
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


def train(batches: int = 20, accumulate: int = 2) -> nn.Module:
    """Train the network and return it."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    chandir.attach(optimizer, model, chandir.Sobolev())  # the one line
    prepared, stepper = accelerator.prepare(model, optimizer)
    for seed in range(batches):
        with accelerator.accumulate(prepared):
            images, labels = batch(seed)
            accelerator.backward(nn.functional.cross_entropy(prepared(images), labels))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
            stepper.step()
            stepper.zero_grad()
    return model


if __name__ == "__main__":
    train()
