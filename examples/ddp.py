"""DistributedDataParallel: nothing special, each process has whole gradients.

torchrun --nproc-per-node=2 examples/ddp.py
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

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
    """Train on this process's part of each batch and return the network."""
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    chandir.attach(optimizer, model, chandir.Sobolev())  # the one line
    for step in range(steps):
        images, labels = (x.chunk(dist.get_world_size())[dist.get_rank()] for x in batch(step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    module: nn.Module = model.module
    return module


if __name__ == "__main__":
    dist.init_process_group("gloo")  # "nccl" on GPUs
    train()
    dist.destroy_process_group()
