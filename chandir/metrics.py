"""Metrics: the inner products on gradients of arXiv 2008.10766, and their gradients.

A metric <g, h> = g^T G h on fibers of n entries, with Gram matrix G, gives the loss the gradient
G⁻¹ f, where f is the usual one. The metrics here are invariant to circular shifts, so that G⁻¹ is
diagonal in the Fourier basis: its response r_k > 0, k = 0 .. n - 1, is all that a metric defines.

Notation: f is a fiber, f̄ its mean, mu_k = 2 - 2 cos(2 pi k / n) the eigenvalues of the periodic
second difference (L f)_j = 2 f_j - f_{j-1} - f_{j+1}.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import final

import torch
from torch import Tensor

from chandir import operators, precision
from chandir.fibers import fibers

_WIDE = (torch.float32, torch.float64)
_DTYPES = (*_WIDE, torch.bfloat16, torch.float16)


def second_difference(n: int) -> Tensor:
    """Return mu_k = 2 - 2 cos(2 pi k / n) = 4 sin²(pi k / n), L's eigenvalues: (n,), float64."""
    k = torch.arange(n, dtype=torch.float64, device="cpu")
    return 4 * torch.sin(torch.minimum(k, n - k) * (math.pi / n)) ** 2  # even to the last bit


class Metric:
    """An inner product on fibers, invariant to circular shifts.

    A metric of your own is a hashable subclass (a frozen dataclass) with a `response`.
    """

    def __repr__(self) -> str:
        own = ", ".join(f"{key}={value!r}" for key, value in vars(self).items() if key[0] != "_")
        return f"{type(self).__name__}({own})"

    def response(self, n: int) -> Tensor:
        """Return r_k = r_{n-k} > 0, the gain of the gradient at frequency k: (n,), float64."""
        raise NotImplementedError(f"{type(self).__name__} defines no response(n)")

    def modes(self, m: int) -> Tensor | None:
        """Return the modes of the kernel away from 0, if it has few: (m, T), float64.

        Any m consecutive entries of the kernel that stay clear of 0 lie in their span, which makes
        the gradient of long fibers faster (`chandir.operators.Blocks`). None says nothing.
        """
        return None

    @final
    def matrix(self, n: int) -> Tensor:
        """Return A = G⁻¹, which takes the usual gradient to this metric's: (n, n), float64."""
        return operators.circulant(operators.kernel(check_response(self, n)))

    @final
    def gram(self, n: int) -> Tensor:
        """Return G, the inner product that is the metric, <g, h> = g^T G h: (n, n), float64."""
        return operators.circulant(operators.kernel(1 / check_response(self, n)))

    @final
    def gradient(self, f: Tensor, dim: int | None = 0) -> Tensor:
        """Return the gradient under this metric, A f on each fiber of f along dim.

        Args:
            f: the usual gradient: any shape, memory format and device; float16, bfloat16, float32
                or float64. The first two are computed in float32.
            dim: axis of the fibers; None takes the whole tensor in row-major order as one fiber.

        Returns:
            A new tensor without history, like f in shape, dtype, device and, where f has no gaps,
            strides.

        Raises:
            ValueError: f is not a dense, real, floating-point tensor, or has no axis dim.
        """
        check_gradient(f)
        with torch.no_grad():
            # Without gaps, and in row-major order where that is asked for: its fibers are a view.
            order = torch.contiguous_format if dim is None else torch.preserve_format
            g = f.clone(memory_format=order)
            overwrite(self, fibers(g, dim))
            return g if g.stride() == f.stride() else torch.empty_like(f).copy_(g)


def overwrite(metric: Metric, x: Tensor) -> None:
    """Overwrite the fibers x (a, n, b) with their gradients."""
    x = x[0] if x.shape[0] == 1 else x
    if x.numel():
        act(operator_for(metric, x.shape[-2], x.dtype, x.device), x)


def operator_for(
    metric: Metric, n: int, dtype: torch.dtype, device: torch.device
) -> operators.Operator:
    """Return what takes fibers of n entries to their gradients, in float32 at least."""

    def make(dtype: torch.dtype) -> operators.Operator:
        return _operator(metric, n, dtype, device)

    return precision.in_full(wide(dtype), device, make)


def act(operator: operators.Operator, x: Tensor) -> None:
    """Let an operator overwrite the fibers x (a, n, b), whatever their dtype."""
    if x.dtype in _WIDE:
        operator(x)
    else:
        y = x.float()
        operator(y)
        x.copy_(saturate(y, x.dtype))


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which gradients of dtype are computed: float32, or float64 for itself."""
    return dtype if dtype in _WIDE else torch.float32


def saturate(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return x with its finite entries in the range of dtype, to which it is about to be rounded.

    A GradScaler looks for infinite gradients before the metric acts: a finite one of float16, of
    40000, must not become infinite then. What is not finite stays so.
    """
    if dtype in _WIDE:
        return x
    limit = torch.finfo(dtype).max
    return torch.where(x.isfinite(), x.clamp(-limit, limit), x)


@lru_cache(maxsize=512)
def _operator(
    metric: Metric, n: int, dtype: torch.dtype, device: torch.device
) -> operators.Operator:
    return operators.operator(check_response(metric, n), metric.modes, dtype, device)


def check_response(metric: Metric, n: int) -> Tensor:
    """Return the metric's response, or raise a ValueError that says what is wrong with it."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n={n!r}: expected the number of entries of a fiber, a whole number >= 1")
    response = metric.response(n)
    if response.shape != (n,) or response.dtype != torch.float64:
        raise ValueError(
            f"{metric}.response({n}) is {tuple(response.shape)}, {response.dtype}: "
            f"expected ({n},), torch.float64"
        )
    if not (response > 0).all() or not response.isfinite().all():
        raise ValueError(
            f"{metric}.response({n}) runs from {response.min():g} to {response.max():g}: expected "
            "positive, finite numbers; choose parameters that keep them so"
        )
    if not torch.allclose(response[1:], response[1:].flip(0), rtol=1e-12, atol=0):
        raise ValueError(
            f"{metric}.response({n}) is not even: expected r[k] = r[n - k]; make it so"
        )
    return response


def check_gradient(f: Tensor) -> None:
    """Raise a ValueError unless f is a dense tensor of a supported dtype."""
    if hasattr(f, "full_tensor"):  # torch's DTensor
        raise ValueError(
            "the gradient is a DTensor, sharded over processes: expected a plain tensor; attach() "
            "and apply_() take sharded models, or give its full_tensor()"
        )
    if not isinstance(f, Tensor) or f.layout != torch.strided or f.dtype not in _DTYPES:
        kind = f"{f.dtype}, {f.layout}" if isinstance(f, Tensor) else type(f).__name__
        raise ValueError(
            f"the gradient is {kind}: expected a dense tensor of float16, bfloat16, float32 or "
            "float64; convert it first"
        )


def _check_number(metric: Metric, name: str, *, positive: bool = False) -> None:
    """Check a field of a frozen metric, finite and >= 0 (or > 0), and make it a float."""
    value = getattr(metric, name)
    number = isinstance(value, Real) and not isinstance(value, bool)
    number = number and -sys.float_info.max <= value <= sys.float_info.max
    if not number or value < 0 or (positive and value == 0):
        raise ValueError(
            f"{type(metric).__name__}({name}={value!r}): expected a finite number "
            f"{'> 0' if positive else '>= 0'}"
        )
    object.__setattr__(metric, name, float(value))


@dataclass(frozen=True)
class H0(Metric):
    """The usual inner product, <g, h> = g^T h: the gradient stays f."""

    def response(self, n: int) -> Tensor:
        """Return r_k = 1."""
        return torch.ones(n, dtype=torch.float64, device="cpu")


@dataclass(frozen=True)
class H0Lambda(Metric):
    """The re-weighted metric: gradient f + lam f̄, the form of the paper's Figure 3.

    r_0 = 1 + lam and r_k = 1. lam = 0 is `H0`.

    Note:
        The paper's Eq. (8) prints f̄ + (f - f̄) / lam, which at its own default, lam = 1, is the
        plain gradient. Figure 6 ("lam = 0 is SGD") agrees with Figure 3. With 1 + lam for its lam,
        Eq. (8) is this gradient divided by 1 + lam.
    """

    lam: float = 1.0

    def __post_init__(self) -> None:
        _check_number(self, "lam")

    def response(self, n: int) -> Tensor:
        """Return r_0 = 1 + lam and r_k = 1 for k > 0."""
        response = torch.ones(n, dtype=torch.float64, device="cpu")
        response[:1] += self.lam
        return response


@dataclass(frozen=True)
class Sobolev(Metric):
    """The Sobolev metric, added to a scaled H0: gradient h0_scale f + weight S f, Eqs. (8) to (12).

    S f = f̄ + L⁺ (f - f̄) / (lam n²) keeps the mean, and solves Eq. (8), f = ḡ - lam n² g'', for
    periodic g. r_0 = h0_scale + weight and r_k = h0_scale + weight / (lam n² mu_k).

    Args:
        lam: weight of the derivative in the metric, > 0. At the paper's 1, S is almost the mean:
            its gain at k = 1 is 0.0253.
        weight: of S f, >= 0. weight = 0 with h0_scale = 1 is `H0`.
        h0_scale: of f, >= 0; not both 0. The paper scales f "by a hyper parameter" and gives none.

    Note:
        The paper's left Riemann sum of Eqs. (10) to (12) equals S f + f̄ / (12 lam n²): the same
        but for a gain of the mean that matters only at tiny n (1.083 at n = 1, lam = 1). Eq. (10)
        prints f(oO) where f(õO) is meant. Of the appendix, (29) to (31) do not follow; (33), which
        is the kernel K, does.
    """

    lam: float = 1.0
    weight: float = 1.0
    h0_scale: float = 1.0

    def __post_init__(self) -> None:
        _check_number(self, "lam", positive=True)
        _check_number(self, "weight")
        _check_number(self, "h0_scale")
        if self.weight == self.h0_scale == 0:
            raise ValueError(
                "Sobolev(weight=0, h0_scale=0) makes every gradient 0: expected one of them > 0"
            )

    def response(self, n: int) -> Tensor:
        """Return r_0 = h0_scale + weight and r_k = h0_scale + weight / (lam n² mu_k)."""
        smooth = 1 / (self.lam * n**2 * second_difference(n))
        smooth[:1] = 1
        return self.h0_scale + self.weight * smooth

    def modes(self, m: int) -> Tensor:
        """Return 1, r, r²: away from 0 the kernel is a parabola, K of Eq. (9)."""
        r = torch.linspace(-1, 1, m, dtype=torch.float64, device="cpu")
        return torch.stack([r**0, r, r**2], dim=1)


@dataclass(frozen=True)
class LaplacianSmoothing(Metric):
    """Laplacian smoothing of Osher et al. (arXiv 1806.06317): gradient (I + sigma L)⁻¹ f.

    r_k = 1 / (1 + sigma mu_k). sigma = 0 is `H0`. The authors' code smooths the whole tensor in
    row-major order (``dim=None``), every parameter, before weight decay.
    """

    sigma: float = 1.0

    def __post_init__(self) -> None:
        _check_number(self, "sigma")

    def response(self, n: int) -> Tensor:
        """Return r_k = 1 / (1 + sigma mu_k)."""
        return 1 / (1 + self.sigma * second_difference(n))

    def modes(self, m: int) -> Tensor:
        """Return rho^r and rho^-r, rho = 2 sigma / (1 + 2 sigma + (1 + 4 sigma)^½).

        The kernel at distance d is (rho^d + rho^(n - d)) / (1 - rho^n) / (1 + 4 sigma)^½.
        """
        rho = 2 * self.sigma / (1 + 2 * self.sigma + math.sqrt(1 + 4 * self.sigma))
        decay = rho ** torch.arange(m, dtype=torch.float64, device="cpu")
        return torch.stack([decay, decay.flip(0)], dim=1)
