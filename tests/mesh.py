"""Processes that train one network together, by gloo; started by the tests that import this."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn


def together(what: Callable[..., Any], processes: int, folder: Path, *arguments: Any) -> list[Any]:
    """Call what(*arguments) on every process; return what each returned, in the order of ranks."""
    spawn(_process, (what, processes, str(folder), arguments), nprocs=processes)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(processes)]


def _process(rank: int, what: Any, processes: int, folder: str, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=processes,
        timeout=timedelta(seconds=60),
    )
    torch.save(what(*arguments), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """Convolutions whose channels fall unevenly onto processes; of some, one gets nothing."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.ReLU(),
        nn.ConvTranspose2d(5, 6, 3),
        nn.ConvTranspose2d(6, 8, 3, groups=2),
        nn.Conv2d(8, 70, 1),
        nn.Conv2d(70, 2, 1),
        nn.Flatten(),
        nn.Linear(200, 3),
    ).to(dtype)


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight images and their classes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 3, 8, 8, generator=generator), torch.arange(8) % 3
