"""Circulant operators on fibers: the maps that metrics define, each by its fastest exact path.

A symmetric operator that commutes with circular shifts is diagonal in the Fourier basis. Its
response there, (n,) in float64, says all; its kernel, the inverse transform, is the matrix's first
column. Operators overwrite x of shape (a, n, b), fibers in the middle (see `chandir.fibers`), or
(n, b) where a = 1. They are kept, and keep nothing of a call that a later one could trip over; what
`Product` keeps between the steps of an optimizer is for these alone.

=========  ===========================================  ========================================
operator   taken for                                    work for each entry
=========  ===========================================  ========================================
`AddMean`  a response that is constant but for k = 0    two passes over memory
`Product`  short fibers                                 n multiplications
`Blocks`   long ones, kernel of few modes away from 0   about 40 multiplications, whatever n
`Filter`   all others                                   fast Fourier transforms, log n
=========  ===========================================  ========================================

None uses a cumulative sum: of floats, it was non-deterministic on CUDA in several releases.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from chandir.precision import Outside

# Nanoseconds for each entry, float32, one thread of an EPYC (Zen 4); 9 n fibers but for the last:
#   n =    64    Product  1.7    Blocks 1.9    Filter  3.0
#   n =   128    Product  2.9    Blocks 1.4    Filter  3.6
#   n =   512    Product 12      Blocks 2.0    Filter  8
#   n = 36864                    Blocks 7      Filter 28    (one fiber)
LONGEST_PRODUCT = 64
# A GPU waits for launches, of which Blocks needs six to Product's one: estimated, not measured.
LONGEST_PRODUCT_GPU = 256
WIDE = 64  # columns from which a batched product beats one product over transposed fibers
TILE = 2**18  # entries that a CPU transforms at a time, so that they stay in its cache


def circulant(column: Tensor, size: int | None = None) -> Tensor:
    """Return the matrix with entries column[..., (i - j) mod n]: (..., n) -> (..., n, n).

    With a size, return its leading (size, size) block.
    """
    n = column.shape[-1]
    i = torch.arange(size or n, device=column.device)
    return column[..., (i[:, None] - i) % n]


def kernel(response: Tensor) -> Tensor:
    """Return the kernel, the inverse Fourier transform of an even response: (n,) -> (n,)."""
    n = response.numel()
    return torch.fft.irfft(response[: n // 2 + 1], n=n)


def tiles(x: Tensor) -> Iterator[Tensor]:
    """Yield x (a, n, b) in views of whole fibers: on a CPU each of about `TILE` entries."""
    x = x if x.ndim == 3 else x[None]
    if x.device.type != "cpu" or x.numel() <= TILE:
        yield x
        return
    width = max(1, TILE // x.shape[1])
    for part in x.split(max(1, width // x.shape[2])):
        yield from part.split(width, dim=2)


def product(matrix: Tensor, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """Return matrix (m, n) times each fiber of x (a, n, b), added to onto if given: (a, m, b)."""
    a, n, b = x.shape
    if b >= WIDE:
        batch = matrix.expand(a, -1, -1)
        return torch.bmm(batch, x) if onto is None else onto.baddbmm_(batch, x)
    rows = x.transpose(1, 2).reshape(a * b, n)
    y = (rows @ matrix.t()).view(a, b, -1).transpose(1, 2)
    return y if onto is None else onto.add_(y)


class AddMean:
    """x <- scale x + weight mean(x): the response is scale + weight at k = 0, else scale."""

    multiplies = False  # matrices: see `chandir.precision`

    def __init__(self, scale: float, weight: float) -> None:
        self.scale, self.weight = scale, weight

    def __call__(self, x: Tensor) -> None:
        """Overwrite x (a, n, b)."""
        total = x.sum(-2, keepdim=True) if self.weight else None  # x.mean would take twice as long
        if self.scale != 1:
            x.mul_(self.scale)
        if total is not None:
            x.add_(total, alpha=self.weight / x.shape[-2])

    step = __call__


class _Scratch(threading.local):
    """Memory for one copy of each shape, a thread's own."""

    def __init__(self) -> None:
        self.copies: dict[tuple[int, ...], Tensor] = {}

    def like(self, x: Tensor) -> Tensor:
        """Return memory of the shape of x, with anything in it."""
        copy = self.copies.get(x.shape)
        if copy is None:
            with torch.inference_mode(False):  # another step may not be inside of one
                copy = self.copies[x.shape] = torch.empty_like(x)
        return copy


class Product:
    """x <- A x, with the whole matrix A (n, n)."""

    multiplies = True

    def __init__(self, response: Tensor, dtype: torch.dtype, device: torch.device) -> None:
        self.matrix = circulant(kernel(response)).to(device, dtype)
        self._small = device.type == "cpu"
        self._scratch = _Scratch()

    def __call__(self, x: Tensor) -> None:
        """Overwrite x (a, n, b)."""
        if self._plain(x):
            x.copy_(torch.mm(self.matrix, x))
            return
        for tile in tiles(x):
            tile.copy_(product(self.matrix, tile.to(self.matrix.dtype)))

    def step(self, x: Tensor) -> None:
        """Overwrite x (a, n, b), a gradient, to the bit as a call does.

        Small ones wait for Python, and for memory that is new in every step.
        """
        if self._plain(x):
            torch.mm(self.matrix, self._scratch.like(x).copy_(x), out=x)
        else:
            self(x)

    def _plain(self, x: Tensor) -> bool:
        return self._small and x.ndim == 2 and x.dtype is self.matrix.dtype and x.numel() <= TILE


class Filter:
    """x <- F⁻¹ (response F x), with the discrete Fourier transform F."""

    multiplies = False

    def __init__(self, response: Tensor, dtype: torch.dtype, device: torch.device) -> None:
        self.response = response[: response.numel() // 2 + 1, None].to(device, dtype)

    def __call__(self, x: Tensor) -> None:
        """Overwrite x (a, n, b)."""
        for tile in tiles(x):
            spectrum = torch.fft.rfft(tile.to(self.response.dtype), dim=1).mul_(self.response)
            tile.copy_(torch.fft.irfft(spectrum, n=x.shape[-2], dim=1))

    step = __call__


class Blocks:
    """x <- A x, block by block: exact, in linear time, for a kernel of few modes away from 0.

    A fiber falls into p blocks of m neighbours. If m consecutive entries of the kernel that stay
    clear of 0 always lie in the span of T modes, the orthonormal columns of U (m, T), then every
    block of A off the diagonal is A_ij = U C_ij U^T, and::

        (A x)_i = D x_i + U sum_j C_ij (U^T x_j),  D = A_ii, C_ij = U^T A_ij U, C_ii = 0,

    where C_ij depends on i - j mod p alone. The sum over j is a product with C as one matrix or,
    for many blocks, a circular convolution by FFT.
    """

    multiplies = True
    MATRIX = 512  # the largest C that is multiplied as one matrix

    def __init__(
        self, response: Tensor, modes: Tensor, dtype: torch.dtype, device: torch.device
    ) -> None:
        m = modes.shape[0]
        k = kernel(response)
        u = torch.linalg.qr(modes).Q
        # c[t, s, i] = sum_ab u[a, t] k[m i + a - b] u[b, s]: the kernel correlated, at every m-th
        # entry, with the correlations of the modes.
        pairs = conv1d(u.t()[:, None], u.t()[:, None], padding=m - 1)  # (T, T, 2 m - 1)
        around = torch.cat([k[1 - m :], k])[None, None]
        c = conv1d(around, pairs.flatten(0, 1)[:, None], stride=m).view(*pairs.shape[:2], -1)
        c[..., 0] = 0
        local = circulant(k, m)
        # The blocks of a row of A hold m |k|² in all; what C and D do not, the modes fail to span.
        energy = m * k.square().sum()
        if energy - local.square().sum() - c.square().sum() > 1e-13 * energy:
            raise ValueError(
                f"{modes.shape[1]} modes do not span a kernel of {k.numel()} entries away from 0: "
                "expected those of the metric's response; correct Metric.modes, or return None"
            )
        self.local, self.modes = local.to(device, dtype), u.to(device, dtype)
        self.matrix = self.response = None
        if c[0].numel() <= self.MATRIX:
            matrix = circulant(c).permute(2, 0, 3, 1)  # (p, T, p, T)
            self.matrix = matrix.flatten(2).flatten(0, 1).to(device, dtype)
        else:
            response = torch.fft.rfft(c).permute(2, 0, 1)[..., None]
            self.response = response.to(device, dtype.to_complex())

    def __call__(self, x: Tensor) -> None:
        """Overwrite x (a, n, b)."""
        for tile in tiles(x):
            tile.copy_(self._apply(tile.to(self.local.dtype)))

    step = __call__

    def _apply(self, x: Tensor) -> Tensor:
        (a, n, b), (m, t) = x.shape, self.modes.shape
        if 1 < b < WIDE:  # transposed once here, not in every product
            return self._apply(x.transpose(1, 2).reshape(a * b, n, 1)).view(a, b, n).transpose(1, 2)
        p = n // m
        blocks = x.reshape(a * p, m, b)
        moments = product(self.modes.t(), blocks)
        if self.matrix is not None:
            far = product(self.matrix, moments.reshape(a, p * t, b))
        else:
            spectrum = torch.fft.rfft(moments.reshape(a, p, 1, t, b), dim=1)
            far = torch.fft.irfft((self.response * spectrum).sum(3), n=p, dim=1)
        near = product(self.local, blocks)
        return product(self.modes, far.reshape(a * p, t, b), onto=near).reshape(a, n, b)


Operator = AddMean | Product | Filter | Blocks | Outside


def operator(
    response: Tensor,
    modes: Callable[[int], Tensor | None],
    dtype: torch.dtype,
    device: torch.device,
) -> Operator:
    """Return the fastest operator with this response.

    Args:
        response: (n,), float64.
        modes: gives for a block of m neighbours the kernel's modes away from 0, (m, T), if known.
        dtype: of the computation.
        device: of the fibers.
    """
    n = response.numel()
    if (response[1:] == response[-1]).all():
        return AddMean(float(response[-1]), float(response[0] - response[-1]))
    if n <= (LONGEST_PRODUCT if device.type == "cpu" else LONGEST_PRODUCT_GPU):
        return Product(response, dtype, device)
    block = min((m for m in range(16, 65) if n % m == 0), key=lambda m: abs(m - 32), default=n)
    if block < n and (columns := modes(block)) is not None:
        return Blocks(response, columns, dtype, device)
    return Filter(response, dtype, device)
