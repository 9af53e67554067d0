"""What the metrics' gradients must equal, computed in other, slower ways.

All in float64, along axis 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIZES = (1, 2, 3, 5, 16, 64, 512)
LAMBDAS = (0.01, 1.0, 20.0)


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def second_difference(n: int) -> Tensor:
    """L, from its definition (L f)_j = 2 f_j - f_{j-1} - f_{j+1}, periodic."""
    identity = torch.eye(n, dtype=torch.float64)
    return 2 * identity - identity.roll(1, 0) - identity.roll(-1, 0)


def mean_matrix(n: int) -> Tensor:
    return torch.full((n, n), 1 / n, dtype=torch.float64)


def gram_h0_lambda(n: int, lam: float) -> Tensor:
    """Eq. (4) in Figure 3's convention: the mean weighs 1 / (1 + lam), the rest 1."""
    return torch.eye(n, dtype=torch.float64) - lam / (1 + lam) * mean_matrix(n)


def gram_smooth(n: int, lam: float) -> Tensor:
    """Eq. (6): <f, g> = n f̄ ḡ + lam n² <f', g'>, the metric of S."""
    return mean_matrix(n) + lam * n**2 * second_difference(n)


def gram_laplacian(n: int, sigma: float) -> Tensor:
    return torch.eye(n, dtype=torch.float64) + sigma * second_difference(n)


def smooth_cumsum(f: Tensor, lam: float) -> Tensor:
    """S f in linear time, by two cumulative sums."""
    n = f.shape[0]
    u = f - f.mean(0)
    s = u.cumsum(0)
    d = s.mean(0) - s
    q = d.cumsum(0) - d
    return f.mean(0) + (q - q.mean(0)) / (lam * n**2)


def smooth_convolution(f: Tensor, lam: float) -> Tensor:
    """Eq. (9): the circular convolution of f with K(k / n) / n."""
    n = f.shape[0]
    o = torch.arange(n, dtype=torch.float64) / n
    kernel = (1 + (o**2 - o + 1 / 6) / (2 * lam)) / n
    return sum((kernel[k] * f.roll(k, 0) for k in range(n)), torch.zeros_like(f))


def smooth_riemann(f: Tensor, lam: float) -> Tensor:
    """Eqs. (10) to (12), every integral a left Riemann sum at o = k / n, written out."""
    n = f.shape[0]
    o = torch.arange(n, dtype=torch.float64) / n
    u = f - f.mean(0)
    kernel = 1 + (o**2 - o + 1 / 6) / (2 * lam)
    start = torch.einsum("k,k...->...", kernel, f) / n
    slope = -torch.einsum("k,k...->...", o, u) / (n * lam)
    distance = (o[:, None] - o).clamp(min=0)  # o - õ where õ < o
    integral = torch.einsum("jk,k...->j...", distance, u) / n
    return start + torch.einsum("k,...->k...", o, slope) - integral / lam


def fourier(f: Tensor, response: Tensor) -> Tensor:
    """F⁻¹ (response F f), with the full complex transform."""
    shape = (-1,) + (1,) * (f.ndim - 1)
    return torch.fft.ifft(torch.fft.fft(f, dim=0) * response.view(shape), dim=0).real


def figure3(f: Tensor, lam: float) -> Tensor:
    return f + lam * f.mean(0, keepdim=True).expand_as(f)


def equation8(f: Tensor, lam: float) -> Tensor:
    return f.mean(0) + (f - f.mean(0)) / lam
