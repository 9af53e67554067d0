"""Hold the library on a device against formulas in float64, with torch alone: no pytest, no Hydra.

    python scripts/gpu_oracles.py --device cuda

Each metric's gradient is compared with F⁻¹ (response F f), the response written out here from the
method's definition, not the library's; it has to repeat to the bit; a training step with the
metric attached has to equal the same step on the CPU. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import chandir

SIZES = (1, 2, 3, 5, 16, 64, 128, 509, 512, 36864)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 2e-2}
RESPONSES: dict[chandir.Metric, Callable[[Tensor, int], Tensor]] = {
    # of the eigenvalues mu of the periodic second difference; mu[0] = 0 is the mean
    chandir.H0(): lambda mu, n: torch.ones_like(mu),
    chandir.H0Lambda(2.0): lambda mu, n: torch.where(mu == 0, 3.0, 1.0),
    chandir.Sobolev(0.5): lambda mu, n: 1 + torch.where(mu == 0, 1.0, 1 / (0.5 * n**2 * mu)),
    chandir.LaplacianSmoothing(0.5): lambda mu, n: 1 / (1 + 0.5 * mu),
}


def expected(metric: chandir.Metric, f: Tensor) -> Tensor:
    """F⁻¹ (response F f) along axis 0 of f (n, ...), in float64 on the CPU."""
    f = f.cpu().double()
    n = f.shape[0]
    mu = 2 - 2 * torch.cos(2 * math.pi * torch.arange(n, dtype=torch.float64) / n)
    response = RESPONSES[metric](mu, n)
    return torch.fft.ifft(torch.fft.fft(f, dim=0) * response[:, None], dim=0).real


def gradients(device: torch.device) -> list[str]:
    """What differs from the formulas, or between two calls."""
    wrong = []
    for metric in RESPONSES:
        for n in SIZES:
            for dtype, tolerance in TOLERANCES.items():
                generator = torch.Generator().manual_seed(n)
                f = torch.randn(n, 7, generator=generator, dtype=torch.float64).to(device, dtype)
                got, again = metric.gradient(f), metric.gradient(f)
                want = expected(metric, f)
                error = float((got.cpu().double() - want).abs().max() / want.abs().max())
                if not error <= tolerance:
                    wrong.append(f"{metric}, n = {n}, {dtype}: off by {error:.1e} of the largest")
                if not torch.equal(got, again):
                    wrong.append(f"{metric}, n = {n}, {dtype}: a second call gives other bits")
    return wrong


def steps(device: torch.device) -> list[str]:
    """What three training steps give otherwise than on the CPU, by metric and direction."""
    wrong = []
    for metric in RESPONSES:
        for direction in ("output", "input", "rasterized"):
            ours, theirs = (trained(metric, direction, where) for where in (device, "cpu"))
            for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
                error = float((p.detach().cpu() - q.detach()).abs().max())
                if not error <= 1e-4:
                    wrong.append(f"{metric}, {direction}: {name} off by {error:.1e} after 3 steps")
    return wrong


def trained(metric: chandir.Metric, direction: str, device: torch.device | str) -> nn.Module:
    """A small network after three steps of SGD with the metric attached."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 64, 3), nn.Flatten(), nn.Linear(1024, 10)
    )
    images, labels = torch.randn(8, 3, 8, 8).to(device), torch.arange(8).to(device)
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    chandir.attach(optimizer, model, metric, direction, "all")
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def main() -> int:
    """Check, say what differs, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    device = torch.device(parser.parse_args().device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    wrong = gradients(device) + steps(device)
    print("\n".join(wrong))
    count = len(RESPONSES) * (len(SIZES) * len(TOLERANCES) * 2 + 3)
    print(f"{count} comparisons on {device}, torch {torch.__version__}: {len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    from chandir.harness.base.output import outlast

    outlast()
    sys.exit(main())
