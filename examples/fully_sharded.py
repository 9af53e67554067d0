"""fully_shard: shard first, then make the optimizer, then attach, on every process alike.

Weights are sharded along axis 0, the output channels of a convolution. Along these, H0Lambda needs
one small all-reduce a step; the other metrics gather one gradient at a time. direction="input"
needs no communication.

torchrun --nproc-per-node=2 examples/fully_sharded.py
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

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


def train(steps: int = 20, device: str = "cpu") -> nn.Module:
    """Train on this process's part of each batch and return the sharded network."""
    model = network()
    fully_shard(model, mesh=init_device_mesh(device, (dist.get_world_size(),)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    chandir.attach(optimizer, model, chandir.H0Lambda())  # the one line
    for step in range(steps):
        images, labels = (x.chunk(dist.get_world_size())[dist.get_rank()] for x in batch(step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


if __name__ == "__main__":
    dist.init_process_group("gloo")  # "nccl" on GPUs
    train()
    dist.destroy_process_group()
