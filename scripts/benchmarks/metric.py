"""Time each metric on a network's gradients, in per cent of a training step.

    python scripts/bench.py metric --models resnet56 vgg16 --threads 2

A step is forward, backward and SGD with momentum on one batch. After each step every way to
transform its gradients is timed in turn: the library's metrics, the paper's formulation as it
describes it (permute, repeat, cumsum), one dense product per tensor, and a copy that reads and
writes each convolution's gradient once. The limit is that traffic, counted, at the best rate of
copies in the same run. VGG-16's layers of 512 channels get a table of their own. Needs torch
alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import chandir
from chandir.axes import Target, select
from chandir.gradients import Gradients
from scripts.benchmarks import limits, measure, rates

COPY = "copy, read and write once"
METRICS = {
    "h0_lambda, output": (chandir.H0Lambda(), "output", "conv"),
    "h0_lambda, input": (chandir.H0Lambda(), "input", "conv"),
    "sobolev, output": (chandir.Sobolev(), "output", "conv"),
    "sobolev, input": (chandir.Sobolev(), "input", "conv"),
    "sobolev, rasterized": (chandir.Sobolev(), "rasterized", "conv"),
    "LS, output": (chandir.LaplacianSmoothing(0.5), "output", "conv"),
    "LS, rasterized, all": (chandir.LaplacianSmoothing(0.5), "rasterized", "all"),
}


def paper_h0_lambda(grad: Tensor, lam: float = 1.0) -> Tensor:
    """Return the re-weighted gradient of a 4-D weight by the paper's code (Figure 3)."""
    return grad + lam * torch.mean(grad, 0, True).repeat(grad.size(0), 1, 1, 1)


def paper_sobolev(grad: Tensor, lam: float = 1.0) -> Tensor:
    """Return grad + the Sobolev gradient of a 4-D weight by the paper's Eqs. (10) to (12).

    Integrals are left Riemann sums at o = k / O, by cumulative sums. Its own listing (Figure 12)
    is not given as text; this follows its description: permute, unsqueeze, repeat, cumsum.
    """
    f = grad.permute(1, 2, 3, 0)
    size = f.size(-1)
    o = torch.arange(size, dtype=f.dtype, device=f.device) / size
    u = f - f.mean(-1).unsqueeze(-1).repeat(1, 1, 1, size)
    start = ((1 + (o * o - o + 1 / 6) / (2 * lam)) * f).mean(-1)  # (12)
    slope = -(o * u).mean(-1) / lam  # (11)
    integral = (o * u.cumsum(-1) - (o * u).cumsum(-1)) / size
    start = start.unsqueeze(-1).repeat(1, 1, 1, size)
    slope = slope.unsqueeze(-1).repeat(1, 1, 1, size)
    return grad + (start + o * slope - integral / lam).permute(3, 0, 1, 2)  # (10)


def main(arguments: list[str]) -> int:
    """Measure, print, and write with --json; return the exit status."""
    options = _options(arguments)
    device = torch.device(options.device)
    batch = options.batch or (8 if device.type == "cpu" else 128)
    torch.set_num_threads(options.threads)
    # float32 in full, as the harness has it: TF32 in convolutions, on by default, is a faster step.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"{measure.heading(device)}; {options.clock} clock")
    record: dict[str, Any] = {
        "benchmark": "metric",
        "environment": measure.environment(device),
        "batch": batch,
        "rounds": options.rounds,
        "clock": options.clock,
        "models": {},
    }
    rows = [(name, options.channels) for name in options.models]
    if "vgg16" in options.models and options.channels is None:
        rows.append(("vgg16", 512))
    for name, channels in rows:
        title = name if channels is None else f"{name}, {channels} channels"
        found = _measure(name, device, batch, channels, options)
        record["models"][title] = found
        _print(title, batch, found)
    if options.json:
        measure.write(options.json, record)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.py metric",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--models", nargs="+", choices=("resnet56", "vgg16"), default=["resnet56", "vgg16"]
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="default: 8 on a CPU, 128 on a GPU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--channels", type=int, help="only fibers with this many entries")
    parser.add_argument("--clock", choices=measure.CLOCKS, default="wall", help="see measure.py")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def _network(name: str) -> nn.Module:
    if name == "resnet56":
        from models.resnet56 import ResNet56

        return ResNet56()
    from models.vgg16 import VGG16

    return VGG16()


def _measure(
    name: str,
    device: torch.device,
    batch: int,
    channels: int | None,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Seconds of a step and of each way to transform its gradients; and what that has to move."""
    torch.manual_seed(0)
    network = _network(name).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(batch, 3, 32, 32, device=device)
    labels = torch.randint(10, (batch,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    actions: dict[str, Callable[[], object]] = {"step": step}
    for row, (metric, direction, scope) in METRICS.items():
        actions[row] = Gradients(metric, _targets(network, direction, scope, channels)).overwrite
    weights = [t.parameter for t in _targets(network, "output", "conv", channels)]
    sobolev = chandir.Sobolev()
    matrices = {
        n: sobolev.matrix(n).to(device, torch.float32) for n in {w.shape[0] for w in weights}
    }
    buffers = [torch.empty_like(weight) for weight in weights]

    def paper(transform: Callable[[Tensor], Tensor]) -> None:
        with torch.no_grad():
            for weight in weights:
                assert weight.grad is not None
                weight.grad = transform(weight.grad)

    def dense(grad: Tensor) -> Tensor:
        return (matrices[grad.shape[0]] @ grad.flatten(1)).view_as(grad)

    def copy() -> None:
        for weight, buffer in zip(weights, buffers, strict=True):
            assert weight.grad is not None
            buffer.copy_(weight.grad)

    actions["paper: h0_lambda, Figure 3"] = lambda: paper(paper_h0_lambda)
    actions["paper: sobolev, Eqs. (10)-(12)"] = lambda: paper(paper_sobolev)
    actions["plain: sobolev, n x n product"] = lambda: paper(dense)
    actions[COPY] = copy
    times = measure.alternate(actions, options.rounds, device, clock=options.clock)
    counted = 2 * limits.size(weights)  # each gradient read and written
    # The faster of one copy as large and of one copy per gradient, by the same clock.
    single = min(times[COPY])
    rate = max(rates.copy_rate(device, counted, options.clock), counted / single)
    return {
        "seconds": measure.medians(times),
        "ratio_to_step": measure.ratios(times, "step"),
        "counted_bytes": counted,
        "copy_bytes_per_second": rate,
        "counted_seconds": counted / rate,
    }


def _targets(network: nn.Module, direction: str, scope: str, channels: int | None) -> list[Target]:
    targets = select(network, direction, scope)
    if channels is None:
        return targets
    return [t for t in targets if t.dim is None or t.parameter.shape[t.dim] == channels]


def _print(title: str, batch: int, found: dict[str, Any]) -> None:
    seconds, least = found["seconds"], found["counted_seconds"]
    print(f"\n{title}, batch {batch}: a step takes {1e3 * seconds['step']:.1f} ms")
    print(
        f"counted: {found['counted_bytes'] / 1e6:.1f} MB to read and write; copies of it "
        f"run at {found['copy_bytes_per_second'] / 1e9:.1f} GB/s: at least {1e3 * least:.3f} ms"
    )
    print(f"{'':32}{'ms':>9}{'% of a step':>14}{'quartiles':>18}{'x counted':>11}")
    for action, taken in seconds.items():
        if action != "step":
            r = {key: 100 * value for key, value in found["ratio_to_step"][action].items()}
            spread = f"{r['low']:.2f} to {r['high']:.2f}"
            share = f"{r['median']:14.2f}{spread:>18}"
            print(f"{action:32}{1e3 * taken:9.3f}{share}{taken / least:11.2f}")
