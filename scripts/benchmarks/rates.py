"""The least time that counted work takes, at the rates of this device, measured in the same run.

Timed are two copies, one as large as what a step holds and one larger than any cache, and square
matrix products at the step's precision: each at its best, for a bound. A step whose data stays in
cache can move it faster than the larger copy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from scripts.benchmarks import measure
from scripts.benchmarks.limits import Count

MEBI = 2**20
SECONDS, LEAST = 0.3, 5  # of one rate; how long, and how often at least


@dataclass(frozen=True)
class Rates:
    """What a device was measured to do in this run.

    Attributes:
        copy: bytes per second, read and written, of a copy as large as what the step holds.
        memory: the same of a copy larger than any cache.
        product: floating-point operations per second of the best square matrix product.
    """

    copy: float
    memory: float
    product: float

    def least(self, step: Count, packed: bool = False) -> float:
        """The seconds that a step takes at least; packed, its data does not stay in a cache."""
        copy = self.memory if packed else max(self.copy, self.memory)
        return max(step.bytes / copy, step.flops / self.product)

    def record(self) -> dict[str, float]:
        """For JSON."""
        return {
            "copy_bytes_per_second": self.copy,
            "memory_bytes_per_second": self.memory,
            "product_flops_per_second": self.product,
        }


def measured(
    device: torch.device, precision: str = "fp32", held: float = 0, clock: str = "wall"
) -> Rates:
    """Measure the device; ``held`` in bytes, by the clock that the step is measured by.

    The caller sets tf32 (`chandir.harness.trial.devices.set_up`); bf16 multiplies bfloat16.
    """
    large = (256 if device.type == "cpu" else 2048) * MEBI
    memory = copy_rate(device, large, clock)
    near = min(max(int(held), MEBI), large)
    return Rates(copy_rate(device, near, clock), memory, product_rate(device, precision, clock))


def copy_rate(device: torch.device, total: int, clock: str = "wall") -> float:
    """Bytes per second, read and written, of copying one half of ``total`` bytes to the other."""
    source = torch.ones(total // 8, device=device)
    target = torch.empty_like(source)
    seconds = _fastest(lambda: target.copy_(source), device, clock)
    return 2 * source.numel() * 4 / seconds


def product_rate(device: torch.device, precision: str = "fp32", clock: str = "wall") -> float:
    """Floating-point operations per second of the best of a few square matrix products."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    sizes = (512, 1024) if device.type == "cpu" else (2048, 4096, 8192)
    best = 0.0
    for n in sizes:
        a = torch.randn(n, n, device=device).to(dtype)
        b = torch.randn(n, n, device=device).to(dtype)
        out = torch.empty(n, n, device=device, dtype=dtype)
        multiply = _matmul(a, b, out)
        best = max(best, 2 * n**3 / _fastest(multiply, device, clock))
    return best


def _matmul(a: Tensor, b: Tensor, out: Tensor) -> Callable[[], object]:
    return lambda: torch.mm(a, b, out=out)


def _fastest(action: Callable[[], object], device: torch.device, clock: str) -> float:
    """The shortest of repetitions: a bound wants the device at its best. CUDA: of ten at a time."""
    now, inner = measure.CLOCKS[clock], 10 if device.type == "cuda" else 1
    best, end, count = float("inf"), time.perf_counter() + SECONDS, 0
    action()
    while time.perf_counter() < end or count < LEAST:
        measure.wait(device)
        start = now()
        for _ in range(inner):
            action()
        measure.wait(device)
        best, count = min(best, (now() - start) / inner), count + 1
    return best


def text(step: Count, found: Rates, seconds: float | None = None) -> str:
    """What was counted, at which rates, and the least time, beside a measured one if given."""
    lines = [
        f"counted: {step.flops / 1e9:.3f} Gflop; {step.bytes / 1e6:.1f} MB "
        f"({step.products / 1e6:.1f} products and activations, {step.optimizer / 1e6:.1f} update); "
        f"operators one by one: {step.unfused / 1e6:.1f} MB",
        f"measured here: copies {found.copy / 1e9:.1f} GB/s at {step.held / 1e6:.0f} MB, "
        f"{found.memory / 1e9:.1f} GB/s from main memory; "
        f"products {found.product / 1e9:.0f} Gflop/s",
    ]
    least = found.least(step)
    by = "traffic" if step.bytes / max(found.copy, found.memory) >= least else "arithmetic"
    line = f"a step takes at least {1e3 * least:.3f} ms, by {by}"
    if seconds is not None:
        line += f"; the fastest row takes {seconds / least:.1f} times that"
    return "\n".join([*lines, line])


def record(step: Count, found: Rates) -> dict[str, Any]:
    """For JSON."""
    return {
        "counted": {**asdict(step), "bytes": step.bytes},
        "rates": found.record(),
        "least_seconds": found.least(step),
        "least_seconds_from_main_memory": found.least(step, packed=True),
    }
